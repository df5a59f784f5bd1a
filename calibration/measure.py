"""Timing a model over batch sizes, in an order that keeps the drift of a busy host out of the comparison.

Measuring one batch size after another makes whatever the host did meanwhile look like an effect of the batch
size. Here a round times every batch size once, in a fresh random order (randomised complete blocks).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from calibration.environment import environment, now, provenance
from calibration.measuring.probes import Prober, load
from calibration.samples import Protocol, Samples, Session
from calibration.subjects import Model, load_subject, load_torch
from simulator.errors import InputError, MeasurementError

BATCHES = (1, 2, 4, 8, 16, 32)
ROUNDS = 300
QUICK_ROUNDS = 60

Progress = Callable[[int, int], None]
"""Told (rounds done, rounds asked) after the warm-up and after every round, between timings."""

Device = Literal["cpu", "cuda"]

_LEAST_WARM, _MOST_WARM, _STEADY, _WITHIN = 10, 50, 5, 0.1
_WARMUP = (
    f"each batch size in turn, at least {_LEAST_WARM} calls, until the last {_STEADY} are within "
    f"{_WITHIN:.0%} of the median so far, at most {_MOST_WARM}; kept as phase warm"
)
_BOUNDARY = "forward pass in inference mode, from the same inputs, already on the device, to outputs ready"
_COLUMNS = ("round", "batch", "start_ns", "wall_ns", "cpu_ns", "device_ns", "switches", "faults")
_Timer = Callable[[tuple[Any, ...]], tuple[int, int, int, int]]


def measure(
    subject: str,
    *,
    batches: Sequence[int] = BATCHES,
    rounds: int = ROUNDS,
    threads: int = 1,
    seed: int = 1,
    device: Literal["cpu", "cuda", "auto"] = "cpu",
    input_shape: tuple[int, ...] | None = None,
    progress: Progress | None = None,
    command: str = "",
) -> Samples:
    """Times a model (see `calibration.subjects`) and returns the samples of this session.

    An interrupt (Ctrl-C) ends it early with the complete rounds so far and `protocol.stop` saying so; before
    the first complete round the KeyboardInterrupt goes on. Raises InputError and MeasurementError.
    """
    _check(batches, rounds, threads, seed)
    torch = load_torch()
    where = _device(torch, device)
    with _threads(torch, threads), torch.inference_mode():
        model = load_subject(subject, seed=seed, device=where, shape=input_shape)
        record, prober = provenance(command), Prober()
        probes = [prober.read()]
        recorder = _Recorder(torch, model, where, threads, room=(_MOST_WARM + rounds) * len(batches))
        stop: Literal["complete", "interrupted"] = "complete"
        try:
            recorder.run(sorted(batches), rounds, seed, progress or _silent)
        except KeyboardInterrupt:
            if not recorder.rounds:
                raise
            stop = "interrupted"
        probes.append(prober.read())
        session = Session(
            subject=model.facts,
            environment=environment(where, threads, torch),
            protocol=_protocol(recorder, sorted(batches), rounds, seed, stop),
            load=load(probes),
            probes=tuple(probes),
            provenance=record.model_copy(update={"finished_utc": now()}),
        )
    return recorder.samples(session)


def _silent(done: int, asked: int) -> None:
    """Nobody is watching."""


def _check(batches: Sequence[int], rounds: int, threads: int, seed: int) -> None:
    if not batches or min(batches) != 1 or max(batches) > 65536 or len(set(batches)) < len(batches):
        listed = ",".join(str(batch) for batch in batches)
        fix = "name different sizes from 1 to 65536; 1 must be among them, or small batches would be guessed"
        raise InputError(f"{listed!r} are not batch sizes to measure", path="--batches", fix=fix)
    for name, value, largest in (("--rounds", rounds, 1_000_000), ("--threads", threads, 1024)):
        if not 1 <= value <= largest:
            raise InputError(f"{value} is out of range", path=name, fix=f"choose 1 to {largest}")
    if not 0 <= seed < 2**63:
        raise InputError(f"{seed} is out of range", path="--seed", fix="choose a whole number from 0")


def _device(torch: Any, wanted: str) -> Device:
    if wanted not in ("cpu", "cuda", "auto"):
        raise InputError(f"{wanted!r} is not a device", path="--device", fix="known: auto, cpu, cuda")
    usable = wanted != "cpu" and torch.cuda.is_available()
    if wanted == "cuda" and not usable:
        raise MeasurementError("torch finds no CUDA GPU here; use --device cpu, or a machine with one")
    return "cuda" if usable else "cpu"


@contextmanager
def _threads(torch: Any, count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _protocol(
    recorder: _Recorder, batches: list[int], asked: int, seed: int, stop: Literal["complete", "interrupted"]
) -> Protocol:
    return Protocol(
        axes=("batch",),
        points=tuple((batch,) for batch in batches),
        rounds=recorder.rounds,
        rounds_asked=asked,
        seed=seed,
        warmup=_WARMUP,
        boundary=_BOUNDARY,
        wall_clock=f"perf_counter ({time.get_clock_info('perf_counter').implementation})",
        cpu_clock="thread" if recorder.threads == 1 else "process",
        stop=stop,
    )


class _Recorder:
    """Times calls into rows set aside beforehand, so that recording costs no memory while timing."""

    def __init__(self, torch: Any, model: Model, device: Device, threads: int, room: int) -> None:
        self.threads = threads
        self.rounds = 0
        self._device = device
        self._model = model
        self._time = _timer(torch, model.module, device, threads)
        self._usage = _usage(threads)
        self._rows: npt.NDArray[np.int64] = np.zeros((room, len(_COLUMNS)), dtype=np.int64)
        self._used = 0
        self._complete = 0
        self._origin = time.perf_counter_ns()

    def run(self, batches: list[int], rounds: int, seed: int, progress: Progress) -> None:
        inputs = {batch: self._model.inputs(batch) for batch in batches}
        for batch in batches:
            self._warm(batch, inputs[batch])
        self._complete = self._used
        order = np.random.default_rng(seed)
        progress(0, rounds)
        for number in range(rounds):
            for batch in order.permutation(batches).tolist():
                self._call(number, batch, inputs[batch])
            # These two belong together; an interrupt between them only drops a complete round.
            self._complete = self._used
            self.rounds = number + 1
            progress(self.rounds, rounds)

    def _warm(self, batch: int, inputs: tuple[Any, ...]) -> None:
        walls: list[int] = []
        while len(walls) < _MOST_WARM:
            walls.append(self._call(-1, batch, inputs))
            middle = median(walls)
            if len(walls) >= _LEAST_WARM and all(abs(w - middle) <= _WITHIN * middle for w in walls[-_STEADY:]):
                break

    def _call(self, number: int, batch: int, inputs: tuple[Any, ...]) -> int:
        switches, faults = self._usage()
        try:
            start, wall, cpu, on_device = self._time(inputs)
        except Exception as error:
            raise MeasurementError(
                f"{self._model.facts.name} failed on a batch of {batch}: {type(error).__name__}: {_line(error)}"
            ) from error
        more_switches, more_faults = self._usage()
        self._rows[self._used] = (
            *(number, batch, start - self._origin, wall, cpu, on_device),
            *(more_switches - switches, more_faults - faults),
        )
        self._used += 1
        return wall

    def samples(self, session: Session) -> Samples:
        """The warm-up and the complete rounds."""
        keep = self._rows[: self._complete]
        keep = keep[keep[:, 0] < self.rounds]
        counted = sys.platform == "linux"
        absent = {"device_ns"} if self._device == "cpu" else set()
        absent |= set() if counted else {"switches", "faults"}
        columns = {"process": np.zeros(len(keep), dtype=np.int64)}
        columns |= {name: keep[:, place].copy() for place, name in enumerate(_COLUMNS) if name not in absent}
        phase = tuple("warm" if number < 0 else "measure" for number in keep[:, 0].tolist())
        return Samples(session, phase, columns)


def _line(error: Exception) -> str:
    return str(error).split("\n", maxsplit=1)[0]


def _timer(torch: Any, module: Any, device: Device, threads: int) -> _Timer:
    """A function (inputs) -> start, wall, processor and device time of one forward pass, in nanoseconds."""
    wall_clock = time.perf_counter_ns
    # A thread's own clock misses the work of the other threads of the pool.
    cpu_clock = time.thread_time_ns if threads == 1 else time.process_time_ns

    def on_cpu(inputs: tuple[Any, ...]) -> tuple[int, int, int, int]:
        start, busy = wall_clock(), cpu_clock()
        output = module(*inputs)  # kept until after the clocks: freeing it is not part of the forward pass
        busy, end = cpu_clock() - busy, wall_clock()
        del output
        return start, end - start, busy, 0

    if device == "cpu":
        return on_cpu
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def on_cuda(inputs: tuple[Any, ...]) -> tuple[int, int, int, int]:
        torch.cuda.synchronize()
        start, busy = wall_clock(), cpu_clock()
        first.record()
        output = module(*inputs)
        last.record()
        last.synchronize()
        busy, end = cpu_clock() - busy, wall_clock()
        del output
        return start, end - start, busy, round(first.elapsed_time(last) * 1e6)

    return on_cuda


def _usage(threads: int) -> Callable[[], tuple[int, int]]:
    """A function -> involuntary context switches and minor page faults so far."""
    if sys.platform != "linux":
        return lambda: (0, 0)
    import resource  # not on every system

    whose = resource.RUSAGE_THREAD if threads == 1 else resource.RUSAGE_SELF

    def usage() -> tuple[int, int]:
        usage = resource.getrusage(whose)
        return usage.ru_nivcsw, usage.ru_minflt

    return usage
