"""One session: a subject timed over its grid, in an order that keeps the drift of a busy host out of the comparison.

Measuring one point after another makes whatever the host did meanwhile look like an effect of the point. Here a
round times every point once, in a fresh random order (randomised complete blocks).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import get_args

import numpy as np

from calibration.environment import Environment, Grade, Probe, now, provenance
from calibration.measuring.clocks import Stopwatch
from calibration.measuring.journal import Entry, Header, Journal, Kept
from calibration.measuring.nvml import GpuMeter
from calibration.measuring.plan import OPTIONS, Plan
from calibration.measuring.probes import Prober, load
from calibration.samples import FreshStart, Protocol, Samples, Session
from calibration.subjects import Stage, Target, import_for, open_subject, taken_import
from simulator.errors import InputError, MeasurementError, first_line
from simulator.streams import Integers

Progress = Callable[[int, int], None]
"""Told (rounds done, rounds asked) after the warm-up and after every round, between timings."""

_TIMED, _COLD, _WARM = 0, 1, 2
_PHASES = ("measure", "cold", "warm")
_WALL = 3
"""Where the wall time stands in a row, after its kind, its point and its start."""
_LEAST_WARM, _MOST_WARM, _STEADY, _WITHIN = 10, 50, 5, 0.1
_RAMP_NS = 1_000_000_000
_WARMUP = (
    f"each point in turn, at least {_LEAST_WARM} calls, until the last {_STEADY} are within {_WITHIN:.0%} of the "
    f"median so far, at most {_MOST_WARM}; kept as phase warm, the first call of a process at each point as phase cold"
)
_RAMPED = "; then the largest point for one second, so that the clocks of the device rise"
_SWITCHED = "; and one call, kept as phase warm, after each change of the number of threads"


def measure(
    plan: Plan,
    *,
    journal: Path | None = None,
    grade: Grade | None = None,
    cold: tuple[FreshStart, ...] = (),
    progress: Progress | None = None,
    command: str = "",
) -> Samples:
    """Times a subject (see `calibration.subjects`) over a grid and returns the samples of this session.

    With the path of a journal every round is kept there when it is complete, and the same plan goes on where the
    journal ends, whatever ended it; the caller removes the journal once the samples are written. `grade` and `cold`
    are what a probe and fresh processes said before; a process that had to import what the subject runs on adds its
    own start. Raises InputError and MeasurementError.
    """
    opened = Opened(plan)
    with closing(opened.target) as target:
        check(plan, target)
        meter = GpuMeter(target.torch) if plan.setting.device == "cuda" else None
        header = Header(
            plan=plan,
            subject=target.facts,
            environment=_environment(target, plan, meter),
            provenance=provenance(command),
            grade=grade,
            columns=(),
        )
        with closing(Rounds(plan, target, meter)) as rounds:
            header = header.model_copy(update={"columns": rounds.columns})
            with closing(Journal(journal, header)) as kept:
                rounds.run(kept, progress or _silent, opened, cold)
                return _samples(kept.kept, plan, target, rounds.stages)


class Opened:
    """A subject that was set up, and how long that took."""

    def __init__(self, plan: Plan) -> None:
        import_for(plan.subject)
        imported, began = taken_import(plan.subject), time.perf_counter_ns()
        self.target: Target = open_subject(plan.subject, plan.setting)
        self._build_ns = time.perf_counter_ns() - began
        self._import_ns = imported.took_ns if imported else 0
        self.fresh = imported is not None and not (imported.torch_known and self.target.torch)
        """Whether what the subject runs on had to be imported."""

    def start(self, first_call_ns: int, warm_up_ns: int) -> FreshStart:
        """The whole way of this process until it could serve."""
        return FreshStart(
            import_ns=self._import_ns,
            build_ns=self._build_ns,
            first_call_ns=first_call_ns,
            warm_up_ns=warm_up_ns,
        )


def _silent(done: int, asked: int) -> None:
    """Nobody is watching."""


def _environment(target: Target, plan: Plan, meter: GpuMeter | None) -> Environment:
    facts = target.environment(plan.threads)
    return facts.model_copy(update={"gpu": meter.described(facts.gpu)}) if meter and facts.gpu else facts


def check(plan: Plan, target: Target) -> None:
    """Raises InputError for a grid that the subject does not lie on: sequences may be left out, nothing else."""
    fix = f"it is measured along {', '.join(target.axes)}"
    for axis in plan.axes:
        if axis not in ("threads", *target.axes):
            raise InputError(f"{plan.subject} has no axis {axis}", path=OPTIONS[axis], fix=fix)
    for axis in target.axes:
        if axis not in ("seq", *plan.axes):
            raise InputError(f"{plan.subject} needs the axis {axis}", path=OPTIONS[axis], fix=fix)


class Rounds:
    """Warms a subject up and times it round by round."""

    def __init__(self, plan: Plan, target: Target, meter: GpuMeter | None) -> None:
        self._plan, self._target, self._meter = plan, target, meter
        self._works = [target.work(plan.at(point)) for point in plan.points]
        self.stages = tuple(
            stage for stage in get_args(Stage) if any(stage in {**work.before, **work.after} for work in self._works)
        )
        self._watch = Stopwatch(target, self.stages)
        self._threads = 0
        self.columns = ("kind", "point", *self._watch.columns)

    def close(self) -> None:
        """Gives the clocks back."""
        self._watch.close()

    def run(self, journal: Journal, progress: Progress, opened: Opened, cold: tuple[FreshStart, ...]) -> None:
        """Times the rounds that the journal does not hold yet."""
        kept = journal.kept
        asked, process = self._plan.rounds, kept.processes
        if kept.rounds >= asked:
            return
        prober = Prober(process, self._meter)
        first = prober.read()
        rows, own = self._warm_up(opened)
        journal.add(Entry(process=process, round=-1, at=now(), rows=rows, probes=(first,), cold=cold + own))
        progress(kept.rounds, asked)
        for number in range(kept.rounds, asked):
            order = np.random.default_rng((self._plan.setting.seed, number)).permutation(len(self._works))
            rows = [row for point in order.tolist() for row in self._calls(point)]
            probes = (prober.read(),) if prober.due() or number == asked - 1 else ()
            journal.add(Entry(process=process, round=number, at=now(), rows=rows, probes=probes))
            progress(number + 1, asked)

    def trial(self) -> float:
        """Times every point once, and says how many seconds that took."""
        began = time.perf_counter()
        for point in range(len(self._works)):
            for _ in self._calls(point):
                pass
        return time.perf_counter() - began

    def _warm_up(self, opened: Opened) -> tuple[list[list[int]], tuple[FreshStart, ...]]:
        rows: list[list[int]] = []
        cold: tuple[FreshStart, ...] = ()
        for point in range(len(self._works)):
            began = time.perf_counter_ns()
            self._use_threads(point)
            mine = self._warm(point)
            if not point and opened.fresh:
                took, first = time.perf_counter_ns() - began, mine[0][_WALL]
                cold = (opened.start(first_call_ns=first, warm_up_ns=max(0, took - first)),)
            rows += mine
        if self._target.setting.device == "cuda":
            end = time.perf_counter_ns() + _RAMP_NS
            while time.perf_counter_ns() < end:
                rows.append(self._call(len(self._works) - 1, _WARM))
        return rows, cold

    def _warm(self, point: int) -> list[list[int]]:
        rows = [self._call(point, _COLD)]
        while len(rows) < _MOST_WARM:
            rows.append(self._call(point, _WARM))
            walls = [row[_WALL] for row in rows]
            middle = median(walls)
            if len(walls) >= _LEAST_WARM and all(abs(w - middle) <= _WITHIN * middle for w in walls[-_STEADY:]):
                break
        return rows

    def _calls(self, point: int) -> Iterator[list[int]]:
        # A pool that has just grown starts its threads at the next call, which is none that serves.
        if self._use_threads(point):
            yield self._call(point, _WARM)
        yield self._call(point, _TIMED)

    def _use_threads(self, point: int) -> bool:
        threads, before = self._plan.threads_at(self._plan.points[point]), self._threads
        if threads != before:
            self._watch.use_threads(threads, self._target.clock(self._plan.threads))
            self._threads = threads
        return threads != before

    def _call(self, point: int, kind: int) -> list[int]:
        try:
            return [kind, point, *self._watch.time(self._works[point])]
        except InputError:
            raise
        except Exception as error:
            at = zip(self._plan.axes, self._plan.points[point], strict=True)
            where = ", ".join(f"{axis} {value}" for axis, value in at)
            said = first_line(error)
            what = said if isinstance(error, MeasurementError) else f"{type(error).__name__}: {said}"
            raise MeasurementError(f"{self._target.facts.name} failed at {where}: {what}") from error


def _samples(kept: Kept, plan: Plan, target: Target, stages: tuple[Stage, ...]) -> Samples:
    header, rows = kept.header, kept.matrix()
    probes: list[Probe] = [probe for entry in kept.entries for probe in entry.probes]
    names = ("process", "round", *header.columns)
    columns = {name: rows[:, place].copy() for place, name in enumerate(names)}
    kind, point = columns.pop("kind"), columns.pop("point")
    columns["round"][kind != _TIMED] = -1
    places = np.array(plan.points, dtype=np.int64)[point]
    axes: dict[str, Integers] = {axis: places[:, place].copy() for place, axis in enumerate(plan.axes)}
    session = Session(
        subject=header.subject,
        environment=header.environment,
        protocol=_protocol(kept, plan, target, stages),
        load=load(probes),
        provenance=header.provenance.model_copy(update={"finished_utc": kept.entries[-1].at}),
        grade=header.grade,
        cold=tuple(start for entry in kept.entries for start in entry.cold),
        probes=tuple(probes),
    )
    phase = tuple(_PHASES[number] for number in kind.tolist())
    return Samples(
        session, phase, {"process": columns.pop("process"), "round": columns.pop("round"), **axes, **columns}
    )


def _protocol(kept: Kept, plan: Plan, target: Target, stages: tuple[Stage, ...]) -> Protocol:
    ramped, switched = target.setting.device == "cuda", "threads" in plan.axes
    return Protocol(
        axes=plan.axes,
        points=plan.points,
        stages=stages,
        rounds=kept.rounds,
        rounds_asked=plan.rounds,
        seed=plan.setting.seed,
        warmup=_WARMUP + (_RAMPED if ramped else "") + (_SWITCHED if switched else ""),
        boundary=target.boundary,
        wall_clock=f"perf_counter ({time.get_clock_info('perf_counter').implementation})",
        cpu_clock=target.clock(plan.threads),
        stop="complete",
    )
