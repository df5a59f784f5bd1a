"""From raw samples to a profile: a pure function, the same bytes whenever it is repeated.

The base of a batch size is the median over all sessions: of the thread's own processor time where the model runs
on one thread (what other jobs of the host do hardly moves it), of wall time on several threads or where the model
waits for something, of the time between two events on CUDA. Jitter is a table of quantiles of the same clock over
the base, cell by cell: pooling ratios over batch sizes would misplace the tail, because relative jitter shrinks
with the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from calibration.profile import Profile
from calibration.records import Base, Cell, Fit, Jitter, Measured, Noise, Quantiles
from calibration.samples import SamplesFile, read_samples
from simulator.errors import InputError
from simulator.streams import Floats, Integers

RECIPE = "medians and quantiles per cell, version 1"
LEVELS = (*(round(step / 100, 2) for step in range(100)), 0.995)
"""Not beyond 0.995: a profile says nothing of what is rarer than its samples can show."""
LEAST_ROUNDS = 10
MANY_FAULTS = 256
"""Minor page faults of a call, a mebibyte in pages of 4 KiB, from which they are worth a warning."""
WAITS_BELOW = 0.8
"""Processor over wall time of undisturbed calls, on one thread, below which the processor clock is not trusted."""

_CLOCKS: dict[str, Literal["thread_cpu", "wall", "cuda_event"]] = {
    "cpu_ns": "thread_cpu",
    "wall_ns": "wall",
    "device_ns": "cuda_event",
}


def fit(sample_files: Sequence[Path], name: str) -> Profile:
    """The profile of one model on one machine from its sessions, in whatever order they are given.

    Raises InputError for files that cannot be read, or that do not belong together.
    """
    files = sorted(map(read_samples, sample_files), key=lambda file: (_started(file), file.sha256))
    _check(files)
    session = files[0].samples.session
    clock = _clock(files)
    batches = [batch for (batch,) in session.protocol.points]
    cells = tuple(_cell(files, batch, clock) for batch in batches)
    ratios = tuple(_ratios(_pooled(files, cell.at["batch"], clock), cell.base_ns) for cell in cells)
    return Profile.build(
        name=name,
        level="measured",
        subject=session.subject,
        environment=session.environment,
        sessions=tuple(map(_measured, files)),
        noise=_noise(files, cells),
        cells=cells,
        fit=Fit(
            recipe=RECIPE,
            clock=_CLOCKS[clock],
            base=Base(form="table"),
            jitter=Jitter(levels=LEVELS, ratios=ratios),
        ),
        limits=_limits(files, cells, clock),
    )


def _started(file: SamplesFile) -> str:
    return file.samples.session.provenance.started_utc


def _check(files: list[SamplesFile]) -> None:
    if not files:
        raise InputError("no samples were given", fix="name the files that measure has written")
    first = files[0]
    for place, file in enumerate(files):
        session = file.samples.session
        if session.protocol.rounds < LEAST_ROUNDS:
            problem = f"holds {session.protocol.rounds} rounds, too few to fit"
            raise InputError(problem, file=file.path, fix=f"measure at least {LEAST_ROUNDS}")
        twin = next((other for other in files[:place] if other.sha256 == file.sha256), None)
        if twin:
            fix = "name each session once"
            raise InputError(f"is the same session as {twin.path}", file=file.path, fix=fix)
        for where, mine, expected in _comparable(file, first):
            if mine != expected:
                problem = f"{mine!r} is not the {expected!r} of {first.path}"
                fix = "fit together only sessions of the same model on the same machine"
                raise InputError(problem, file=file.path, path=where, fix=fix)
        if session.protocol.axes != ("batch",):
            problem = f"lies on the axes {', '.join(session.protocol.axes)}; fitted are batches alone so far"
            raise InputError(problem, file=file.path, path="protocol.axes", fix="measure over --batches")
        batches = {batch for (batch,) in session.protocol.points}
        if min(batches) != 1 or set(file.samples.columns["batch"].tolist()) != batches:
            problem = "the rows do not hold the batch sizes of the protocol, from 1 up"
            raise InputError(problem, file=file.path, path="batch", fix="measure again")


def _comparable(file: SamplesFile, first: SamplesFile) -> list[tuple[str, Any, Any]]:
    mine, other = file.samples.session, first.samples.session
    pairs: list[tuple[str, Any, Any]] = [("protocol.points", mine.protocol.points, other.protocol.points)]
    for room in ("subject", "environment"):
        facts, expected = getattr(mine, room).model_dump(), getattr(other, room).model_dump()
        pairs += [(f"{room}.{key}", facts[key], expected[key]) for key in facts]
    return pairs


def _clock(files: list[SamplesFile]) -> str:
    environment = files[0].samples.session.environment
    if environment.device == "cuda":
        return "device_ns"
    if environment.threads > 1 or any(_waits(file) for file in files):
        return "wall_ns"
    return "cpu_ns"


def _waits(file: SamplesFile) -> bool:
    """Whether calls that kept the processor still took longer by the wall clock: the model waits for something."""
    columns = file.samples.columns
    kept = columns["round"] >= 0
    if "switches" in columns:
        kept &= columns["switches"] == 0
    if not kept.any():
        return False
    return bool(np.median(columns["cpu_ns"][kept] / columns["wall_ns"][kept]) < WAITS_BELOW)


def _pooled(files: list[SamplesFile], batch: int, column: str) -> Integers:
    return np.concatenate([file.samples.measured((batch,), column) for file in files])


def _ratios(times: Integers, base: int) -> tuple[float, ...]:
    quantiles: Floats = np.quantile(times, LEVELS) / base
    return tuple(max(1e-6, value) for value in np.round(quantiles, 6).tolist())


def _quantiles(times: Integers) -> Quantiles:
    p50, p95, p99 = (_whole(value) for value in np.quantile(times, (0.5, 0.95, 0.99)))
    return Quantiles(p50=p50, p95=p95, p99=p99)


def _whole(value: float) -> int:
    return max(1, round(float(value)))


def _cell(files: list[SamplesFile], batch: int, clock: str) -> Cell:
    known = files[0].samples.columns
    times = _pooled(files, batch, clock)
    medians = [float(np.median(file.samples.measured((batch,), clock))) for file in files]
    return Cell(
        at={"batch": batch},
        n=len(times),
        base_ns=_whole(np.median(times)),
        wall_ns=_quantiles(_pooled(files, batch, "wall_ns")),
        cpu_ns=_quantiles(_pooled(files, batch, "cpu_ns")),
        device_ns=_quantiles(_pooled(files, batch, "device_ns")) if "device_ns" in known else None,
        between_sessions=round(max(medians) / min(medians), 4) if len(files) > 1 else None,
        preempted=_preempted(_pooled(files, batch, "switches")) if "switches" in known else None,
        faults=round(float(np.median(_pooled(files, batch, "faults")))) if "faults" in known else None,
    )


def _preempted(switches: Integers) -> float:
    return round(float(np.mean(switches > 0)), 4)


def _noise(files: list[SamplesFile], cells: tuple[Cell, ...]) -> Noise:
    def everything(column: str) -> Integers:
        return np.concatenate([_pooled(files, cell.at["batch"], column) for cell in cells])

    return Noise(
        cpu_over_wall=round(float(np.median(everything("cpu_ns") / everything("wall_ns"))), 4),
        preempted=_preempted(everything("switches")) if "switches" in files[0].samples.columns else None,
        between_sessions=max((cell.between_sessions for cell in cells if cell.between_sessions), default=None),
    )


def _measured(file: SamplesFile) -> Measured:
    samples = file.samples
    return Measured(
        file=file.path.name,
        sha256=file.sha256,
        rows=len(samples.phase),
        columns=("phase", *samples.columns),
        protocol=samples.session.protocol,
        load=samples.session.load,
        provenance=samples.session.provenance,
    )


_BASE = {
    "cpu_ns": "The base is the median processor time of the thread, and the jitter is of that clock too: waiting "
    "for a processor that other jobs of the host held is not in the profile, though what they do to "
    "caches, memory and shared cores is.",
    "wall_ns": "The base is the median wall time, because no processor clock tells how long several threads, or "
    "a model that waits for something, take: what other jobs of the host did while measuring is in the base and "
    "in the jitter.",
    "device_ns": "The base is the median time between two CUDA events around the forward pass: launching it from "
    "the host and waiting for its end are not in it (see wall_ns).",
}

_PROCESS_CLOCK = (
    "cpu_ns is of the whole process: the system books the other threads only at its scheduler's ticks, so the "
    "median reads low for calls of a few milliseconds; and threads that spin while they wait are counted in it."
)

_FREE_PROCESSORS = (
    "The threads need a free processor each: where another job takes one, threads that spin while they wait hold "
    "each other up, and a batch can take many times longer."
)
_FAULTS = "which takes time that a process whose allocator keeps the memory does not pay: see faults."


def _limits(files: list[SamplesFile], cells: tuple[Cell, ...], clock: str) -> tuple[str, ...]:
    few = min(cell.n or 0 for cell in cells)
    texts = [
        _BASE[clock],
        "Interference of other jobs is not modelled: the profile speaks of this model alone on its machine.",
        "Timed is the forward pass alone, from inputs already in place: no tokenising, network or queueing.",
        f"Nothing is known beyond a batch of {cells[-1].at['batch']}, nor of jitter beyond quantile {LEVELS[-1]}, "
        "where it stays; between the measured batch sizes both are interpolated linearly.",
        f"{few} calls a batch size, which are not independent of each other in time: p99 is indicative.",
    ]
    environment = files[0].samples.session.environment
    if environment.threads > 1:
        texts += [_PROCESS_CLOCK, _FREE_PROCESSORS]
    if faulty := [cell.at["batch"] for cell in cells if (cell.faults or 0) >= MANY_FAULTS]:
        sizes = ", ".join(map(str, faulty))
        texts.append(f"At batches of {sizes} the median call asks the system for memory anew, {_FAULTS}")
    if environment.variables:
        variables = ", ".join(f"{name}={value}" for name, value in environment.variables.items())
        texts.append(f"Measured with {variables}; other settings may give other times.")
    if len(files) == 1:
        texts.append("One session only: how the times differ from one process or day to the next is not known.")
    else:
        texts.append("The base is over all sessions, and the jitter holds what differs between them.")
    if environment.cpu.virtualised:
        texts.append("Measured inside a virtual machine.")
    if any(file.samples.session.protocol.stop == "interrupted" for file in files):
        texts.append("A session was interrupted; its complete rounds are used.")
    return tuple(texts)
