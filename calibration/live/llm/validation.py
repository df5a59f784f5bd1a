"""A real LLM engine from its start to the record: calibrate, put it under load, predict, compare."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration import environment
from calibration.live import comparison
from calibration.live.client import Endpoint, Log, drive
from calibration.live.course import QUANTILES
from calibration.live.llm import prediction, requests
from calibration.live.llm.course import BLOCKS, EngineCourse, figures, measured
from calibration.live.llm.prediction import EngineModel
from calibration.live.llm.record import EngineCauses, EngineValidation, StepFit
from calibration.live.llm.requests import Requests
from calibration.live.llm.setup import EngineSetup
from calibration.live.llm.steps import NAMES, MaskedSteps, StepLog, fit, ratio
from calibration.live.record import Comparison, Grade, Level, Run
from calibration.live.servers import transformers
from calibration.live.servers.starting import free_port, running
from calibration.measuring import probes
from simulator.errors import MeasurementError
from simulator.quantities import SECOND
from simulator.streams import Floats, Integers

ROUNDS = 4
"""Of bursts, from which the engine is calibrated."""
CANARY = (1, 1, 1, 1, 8, 8)
"""Bursts of a canary."""
BUSY = 1.5
"""Above this scale the engine had not a processor to itself."""
SATURATING, SATURATED = 1.5, 12.0
"""A load of so many times what the steps suggest, for so many seconds, of which the first quarter is not counted."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class EnginePlan:
    """What is to be validated, and how long it may take."""

    setup: EngineSetup
    python: Path
    """The Python that has transformers."""
    loads: tuple[float, ...]
    """Shares of the measured capacity."""
    seconds: float
    """Of each run, the warm-up included."""
    warmup: float
    repeats: int
    seed: int = 1

    def window(self) -> tuple[int, int]:
        """Nanoseconds in which requests are counted."""
        return round(self.warmup * SECOND), round(self.seconds * SECOND)


@dataclass(frozen=True)
class _Driven:
    """A load on the real engine."""

    log: Log
    course: EngineCourse
    steps: StepLog


@dataclass(frozen=True)
class _Served:
    """One run that is predicted."""

    load: float
    repeat: int
    rate: float
    driven: _Driven
    before: float
    after: float
    scale: float
    """How much longer than the form steps took by the clock on the wall when it was calibrated."""

    @property
    def void(self) -> tuple[str, ...]:
        """Why it says nothing."""
        course, lag = self.driven.course, self.driven.log.lag()
        ttft, _ = course.timing("ttft")
        if not len(ttft):
            return ("no request was answered",)
        if self.scale > BUSY:
            return (f"others kept the machine busy: steps took {self.scale:.2f} times their own time when calibrated",)
        return (
            *comparison.late(lag[course.requests.arrived >= course.since], ttft),
            *comparison.moved(self.before, self.after),
        )


def validate(plan: EnginePlan, progress: Progress, command: str) -> EngineValidation:
    """Runs the whole plan. Raises MeasurementError where a part of it cannot run."""
    origin, prober = environment.provenance(command), probes.Prober()
    first = prober.read()
    with _serving(plan) as endpoint:
        work = _Work(plan, progress, endpoint)
        work.calibrate()
        served, canaries = work.serve()
    host = comparison.grade(canaries)
    comparisons = [row for load in plan.loads for row in work.compare(load, served, host)]
    return EngineValidation(
        provenance=origin.model_copy(update={"finished_utc": environment.now()}),
        environment=environment.environment("cpu", 1),
        host=probes.load([first, prober.read()]),
        setup=plan.setup,
        seconds=plan.seconds,
        warmup=plan.warmup,
        grade=host,
        causes=work.causes,
        capacity=work.capacity,
        capacity_simulated=work.capacity_simulated,
        runs=tuple(map(work.facts, served)),
        comparisons=tuple(comparisons),
    )


@contextmanager
def _serving(plan: EnginePlan) -> Iterator[Endpoint]:
    port = free_port()
    endpoint = transformers.endpoint(port)
    with tempfile.TemporaryDirectory(prefix="headroom-") as folder:
        words = transformers.command(plan.python, plan.setup.model_dump(), port)
        with running(words, {"OMP_NUM_THREADS": "1"}, endpoint, Path(folder, "log"), "transformers"):
            yield endpoint


class _Work:
    """A plan at work on an engine that answers."""

    causes: EngineCauses
    model: EngineModel
    usual: MaskedSteps

    def __init__(self, plan: EnginePlan, progress: Progress, endpoint: Endpoint) -> None:
        self.plan, self.endpoint, self.done = plan, endpoint, 0
        self._progress = progress
        self.numbers: Floats = np.zeros(len(NAMES))
        self.scale = self.capacity = self.capacity_simulated = 0.0

    def _step(self, what: str) -> None:
        self._progress(what, self.done, 2 + len(self.plan.loads) * self.plan.repeats)
        self.done += 1

    def _drive(self, asked: Requests, since: int = 0, until: int | None = None) -> _Driven:
        transformers.log(self.endpoint)
        log = drive(self.endpoint, asked.arrived, asked.bodies())
        told = transformers.log(self.endpoint)
        end = int(asked.arrived[-1]) + 1 if until is None else until
        course = measured(asked, log, told["requests"], since, end)
        return _Driven(log, course, StepLog.of(told["steps"], log.origin))

    def _times(self, steps: StepLog) -> Integers:
        """What the form is fitted to: what sleeps by the clock on the wall, what computes by its processor time."""
        return steps.took() if self.plan.setup.emulated else steps.cpu

    def calibrate(self) -> None:
        """From bursts on an idle engine; and its capacity, from another load, on which the form is tried."""
        plan = self.plan
        self._step("calibrating the engine")
        asked = requests.probes(ROUNDS, plan.seed)
        probed = self._drive(asked)
        steps, course = probed.steps, probed.course
        self.numbers = fit(steps.features(), self._times(steps))
        self.scale = ratio(steps, self.numbers)
        alone = course.alone()
        if not alone.any():
            raise MeasurementError("no request found the engine idle: this machine is too slow, or others keep it busy")
        there = int(np.median((course.began - probed.log["sent"])[alone]))
        back = int(np.median((course.done - course.last)[alone]))
        self.model = EngineModel(plan.setup, MaskedSteps.of(self.numbers, self.scale), max(there, 0), max(back, 0))
        self._step("saturating the engine")
        self._saturate(len(steps.start))

    def _saturate(self, fitted_to: int) -> None:
        plan = self.plan
        full = requests.poisson(1000.0, 1.0, plan.seed)
        guess = self._guess(full)
        asked = requests.poisson(SATURATING * guess, SATURATED, plan.seed + 1)
        since, until = round(SATURATED * SECOND / 4), round(SATURATED * SECOND)
        driven = self._drive(asked, since, until)
        usual, times = driven.steps.features() @ self.numbers, self._times(driven.steps)
        self.capacity = _answers(driven.course)
        if not self.capacity:
            raise MeasurementError("the saturated engine answered nothing, so its capacity is not known")
        self.capacity_simulated = _answers(self.model.simulate(asked, since, until))
        self.causes = EngineCauses(
            there=self.model.there,
            back=self.model.back,
            fit=StepFit(
                **dict(zip(NAMES, self.numbers.tolist(), strict=True)),
                scale=self.scale,
                steps=fitted_to,
                held_out=len(times),
                mean_error=float(np.abs(usual / times - 1).mean()),
                total_error=float(usual.sum() / times.sum() - 1),
            ),
        )

    def _guess(self, asked: Requests) -> float:
        """Requests per second that an engine would serve if it always had plenty of them, simulated."""
        course = self.model.simulate(asked, 0, 0)
        return float(len(asked.arrived) / course.last.max() * SECOND)

    def serve(self) -> tuple[list[_Served], list[float]]:
        """Each load as often as asked; canaries before and after each run."""
        plan, served = self.plan, []
        first, canaries = self._canary(1.0), [1.0]
        for repeat in range(plan.repeats):
            for load in plan.loads:
                rate = load * self.capacity
                self._step(f"load {load:.0%}, run {repeat + 1}")
                driven = self._drive(requests.poisson(rate, plan.seconds, plan.seed), *plan.window())
                canaries.append(self._canary(first))
                before, after = canaries[-2:]
                served.append(_Served(load, repeat, rate, driven, before, after, self.scale))
        return served, canaries

    def _canary(self, first: float) -> float:
        """How long steps take by the clock on the wall against what the form says of them, over that at first."""
        steps = self._drive(requests.bursts(CANARY, 0)).steps
        return float(np.median(steps.took() / (steps.features() @ self.numbers))) / first

    def compare(self, load: float, served: Sequence[_Served], host: Grade) -> list[Comparison]:
        """The runs at a load that are not void, if there are two."""
        runs = [one for one in served if one.load == load and not one.void]
        if len(runs) < 2:
            return []
        draws = comparison.resampled(len(runs))
        real = figures([one.driven.course for one in runs], draws)
        once = np.ones((1, BLOCKS), dtype=np.int64)
        each = [figures([one.driven.course], once) for one in runs]
        floor = comparison.apart([{name: float(row[0]) for name, row in one.items()} for one in each])
        rows = []
        for level, courses in self._levels(runs).items():
            rows += comparison.judge(level, load, real, figures(courses, draws), floor, host, _tier)
        return rows

    def _levels(self, runs: Sequence[_Served]) -> dict[Level, list[EngineCourse]]:
        """The simulated course of each run, by level."""

        def each(speeds: Callable[[_Served], list[Integers] | None]) -> list[EngineCourse]:
            window = self.plan.window()
            return [self.model.simulate(one.driven.course.requests, *window, speeds(one)) for one in runs]

        found: dict[Level, list[EngineCourse]] = {
            "V1": each(lambda one: prediction.true_speed(one.driven.steps, self._usual(one))),
            "V2": each(lambda _: None),
        }
        if any(len(self._stalls(one)[0]) for one in runs):
            found["V2 stalls"] = each(self._stalls)
        return found

    def _usual(self, one: _Served) -> Floats:
        found: Floats = one.driven.steps.features() @ self.numbers * self.scale
        return found

    def _stalls(self, one: _Served) -> list[Integers]:
        return prediction.stalls(one.driven.steps, self._usual(one))

    def facts(self, one: _Served) -> Run:
        """What the record says of a run."""
        status, (rows,) = one.driven.log["status"], self._stalls(one)
        lengths = rows[:, 1] - rows[:, 0]
        found = figures([one.driven.course], np.ones((1, BLOCKS), dtype=np.int64))
        return Run(
            load=one.load,
            repeat=one.repeat,
            rate=one.rate,
            requests=len(status),
            answered=int(np.sum(status == 200)),
            refused=int(np.sum((status != 200) & (status > 0))),
            lost=int(np.sum(status == 0)),
            lag=tuple((np.quantile(one.driven.log.lag(), list(QUANTILES.values())) / 1e6).round(4).tolist()),
            canary_before=one.before,
            canary_after=one.after,
            void=one.void,
            stalls=len(lengths),
            stalled_ms=float(lengths.sum()) / 1e6,
            figures={name: float(row[0]) for name, row in found.items() if np.isfinite(row[0])},
        )


def _answers(course: EngineCourse) -> float:
    """Requests per second that were answered within the counted time."""
    inside = (course.last >= course.since) & (course.last < course.until)
    return float(inside.sum() / (course.until - course.since) * SECOND)


def _tier(figure: str) -> str:
    """As which figure of a server each is judged."""
    return {"tokens/s": "throughput", "running": "mean"}.get(figure) or figure.split()[-1]
