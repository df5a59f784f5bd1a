"""A validation from its beginning to its record: calibrate a real server, put it under load, predict, compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration import environment
from calibration.live import comparison, drawing, prediction, ranking, schedule
from calibration.live.canary import Alone, time_alone
from calibration.live.causes import Causes, calibrate
from calibration.live.client import Endpoint, Log, drive
from calibration.live.course import Course, Executions, measured
from calibration.live.device import Device
from calibration.live.record import Comparison, Curve, Decision, Distance, Grade, Level, Run, Validation, Variant
from calibration.live.servers import Setup, check, serving
from calibration.measuring import probes
from simulator.errors import MeasurementError
from simulator.quantities import SECOND
from simulator.service import Table
from simulator.streams import Integers

PROFILE_SECONDS = 6.0
CANARY_SECONDS = 1.0
PROBING_ROUNDS = 4
RACES = 60
LIGHT, LIGHT_SECONDS = 0.15, 8.0
"""Of the capacity that the device alone suggests..."""
SATURATION = 1.5
"""...and of it too."""
SATURATED_SECONDS = 8.0
VARIANT_LOAD = 0.5
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Plan:
    """What is to be validated, and how long it may take."""

    device: Device
    setup: Setup
    loads: tuple[float, ...]
    """Shares of the measured capacity."""
    seconds: float
    """Of each run, the warm-up included."""
    warmup: float
    repeats: int
    seed: int = 1
    profile: str | None = None
    stale: Table | None = None
    """The profile of level V3."""
    tritonserver: Path | None = None
    variants: bool = True
    """Whether other settings of the server are ranked too."""

    def window(self) -> tuple[int, int]:
        """Nanoseconds in which requests are counted."""
        return round(self.warmup * SECOND), round(self.seconds * SECOND)

    def steps(self) -> int:
        """Of the progress."""
        return 3 + len(self.loads) * self.repeats + (len(ranking.variants(self.setup)) if self.variants else 0)


@dataclass(frozen=True)
class Served:
    """One run of the real server."""

    load: float
    repeat: int
    rate: float
    log: Log
    course: Course
    before: float
    after: float

    @property
    def void(self) -> tuple[str, ...]:
        """Why it says nothing."""
        return comparison.void(self.log.lag(), self.course, self.before, self.after)


@dataclass(frozen=True)
class Calibrated:
    """What is known of the server before it is put to the test."""

    alone: Alone
    probed: Executions
    causes: Causes
    saturated: Log
    capacity: float
    capacity_simulated: float


def validate(plan: Plan, progress: Progress, command: str) -> Validation:
    """Runs the whole plan. Raises MeasurementError where a part of it cannot run."""
    check(plan.setup, plan.tritonserver)
    work = _Work(plan, progress)
    origin, prober = environment.provenance(command), probes.Prober()
    before = prober.read()
    calibrated, served, canaries = work.real()
    decision = work.decision(calibrated) if plan.variants else None
    host = comparison.grade(canaries)
    predictions = _Predictions(plan, calibrated, served, host)
    judged = predictions.judged
    example = judged[-1] if judged else None
    executions = Executions.of(example.log) if example else None
    return Validation(
        provenance=origin.model_copy(update={"finished_utc": environment.now()}),
        environment=environment.environment("cpu", 1, libraries=_libraries(plan)),
        host=probes.load([before, prober.read()]),
        device=plan.device,
        setup=plan.setup,
        seconds=plan.seconds,
        warmup=plan.warmup,
        profile=plan.profile,
        grade=host,
        causes=calibrated.causes,
        capacity=calibrated.capacity,
        capacity_simulated=calibrated.capacity_simulated,
        cells=drawing.cells(calibrated.alone, calibrated.probed, plan.stale),
        runs=tuple(map(predictions.facts, served)),
        comparisons=tuple(predictions.comparisons),
        distances=tuple(predictions.distances),
        curves=tuple(predictions.curves),
        residuals=drawing.residuals(example.load, executions, predictions.usual) if example and executions else None,
        families=drawing.families(executions, predictions.usual) if executions else (),
        decision=decision,
    )


def _libraries(plan: Plan) -> list[str]:
    """Those that the server and the device depend on, of this environment."""
    return [*(["mosec"] if plan.setup.server == "mosec" else []), *(["torch"] if plan.device.model else [])]


class _Work:
    """The real part of a plan."""

    def __init__(self, plan: Plan, progress: Progress) -> None:
        self.plan, self.done = plan, 0
        self._progress = progress

    def _step(self, what: str) -> None:
        self._progress(what, self.done, self.plan.steps())
        self.done += 1

    def real(self) -> tuple[Calibrated, list[Served], list[float]]:
        """Calibrates the server, and puts it under each load as often as asked; canaries before and after each run."""
        plan = self.plan
        largest = plan.setup.max_batch
        self._step("timing the device alone")
        timed = 2 * largest if plan.variants else largest
        alone = time_alone(plan.device, range(1, timed + 1), PROFILE_SECONDS, plan.seed)
        with serving(plan.setup, plan.device, plan.tritonserver) as endpoint:
            calibrated = self._calibrate(alone, endpoint)
            canaries = [self._canary(alone)]
            served = []
            for repeat in range(plan.repeats):
                for load in plan.loads:
                    rate = load * calibrated.capacity
                    self._step(f"load {load:.0%}, run {repeat + 1}")
                    log = drive(endpoint, schedule.poisson(rate, plan.seconds, plan.seed))
                    canaries.append(self._canary(alone))
                    course = measured(log, *plan.window())
                    served.append(Served(load, repeat, rate, log, course, *canaries[-2:]))
        return calibrated, served, canaries

    def _canary(self, alone: Alone) -> float:
        sizes = sorted({1, self.plan.setup.max_batch})
        return time_alone(self.plan.device, sizes, CANARY_SECONDS, self.plan.seed).against(alone)

    def _calibrate(self, alone: Alone, endpoint: Endpoint) -> Calibrated:
        plan, setup = self.plan, self.plan.setup
        self._step("calibrating the server")
        slowest = round(alone.median(setup.max_batch))
        bursts = schedule.probing(setup.max_batch, setup.max_delay, slowest, PROBING_ROUNDS, setup.replicas)
        probed = drive(endpoint, bursts)
        guess = setup.replicas * setup.max_batch / slowest * SECOND
        light = drive(endpoint, schedule.poisson(LIGHT * guess, LIGHT_SECONDS, plan.seed))
        self._step("saturating the server")
        log = drive(endpoint, schedule.poisson(SATURATION * guess, SATURATED_SECONDS, plan.seed))
        course = measured(log, SECOND, round(SATURATED_SECONDS * SECOND))
        if not course.throughput():
            raise MeasurementError("the saturated server answered nothing, so its capacity is not known")
        causes = calibrate(probed, light, setup, alone, log, self._race(endpoint, slowest))
        model = prediction.Model(setup, causes, alone.table(causes.service_ratio, setup.max_batch))
        simulated = model.simulate(course.arrived, course.since, course.until)
        return Calibrated(
            alone,
            Executions.of(probed),
            causes,
            log,
            course.throughput(),
            float(np.mean([one.throughput() for one in simulated])),
        )

    def _race(self, endpoint: Endpoint, slowest: int) -> Log | None:
        """Who is faster when an execution returns: of one Triton that waits for more, as far as it can be seen."""
        setup = self.plan.setup
        if setup.server != "triton" or setup.replicas > 1 or not setup.max_delay:
            return None
        bursts = schedule.racing(setup.max_batch, setup.max_delay, slowest, RACES)
        return drive(endpoint, bursts) if len(bursts) else None

    def decision(self, calibrated: Calibrated) -> Decision:
        """Other settings of the server at one rate, real and simulated."""
        plan, rows = self.plan, []
        rate = VARIANT_LOAD * calibrated.capacity
        for setup in ranking.variants(plan.setup):
            self._step(f"ranking {ranking.change(setup)}")
            with serving(setup, plan.device, plan.tritonserver) as endpoint:
                log = drive(endpoint, schedule.poisson(rate, plan.seconds, plan.seed))
            real = measured(log, *plan.window())
            service = calibrated.alone.table(calibrated.causes.service_ratio, setup.max_batch)
            found = prediction.Model(setup, calibrated.causes, service).simulate(real.arrived, real.since, real.until)
            simulated = float(np.mean([one.figures()["p95"] for one in found]))
            rows.append(Variant(setup=setup, rate=rate, measured_p95=real.figures()["p95"], simulated_p95=simulated))
        return ranking.decide(rows)


class _Predictions:
    """The simulated part of a plan, and its comparison with the real one."""

    def __init__(self, plan: Plan, calibrated: Calibrated, served: Sequence[Served], host: Grade) -> None:
        self.plan, self.calibrated = plan, calibrated
        causes, setup = calibrated.causes, plan.setup
        self.middle = prediction.typical(calibrated.alone, causes.service_ratio, setup.max_batch)
        self.usual: Integers = self.middle.work_ns[:, 0]
        self.judged = [one for one in served if not one.void]
        self.comparisons: list[Comparison] = []
        self.distances: list[Distance] = []
        self.curves: list[Curve] = []
        for load in plan.loads:
            runs = [one for one in self.judged if one.load == load]
            if len(runs) > 1:
                self._compare(load, runs, host)

    def stalls(self, one: Served) -> list[Integers]:
        """Of the host during a run."""
        calibrated = self.calibrated
        found = Executions.of(one.log)
        return prediction.stalls(found, calibrated.alone, calibrated.causes, self.plan.setup, self.usual)

    def _compare(self, load: float, runs: Sequence[Served], host: Grade) -> None:
        real = [one.course for one in runs]
        self.curves.append(drawing.curve(None, load, real))
        for level, simulated in self._levels(runs).items():
            self.comparisons += comparison.compare(level, load, real, simulated, host)
            self.distances.append(comparison.distance(level, load, real, simulated))
            self.curves.append(drawing.curve(level, load, [course for courses in simulated for course in courses]))

    def _levels(self, runs: Sequence[Served]) -> dict[Level, list[list[Course]]]:
        """The simulated courses of each run, by level."""
        plan, causes = self.plan, self.calibrated.causes
        service = self.calibrated.alone.table(causes.service_ratio, plan.setup.max_batch)
        undisturbed = prediction.Model(plan.setup, causes, self.middle)
        model = prediction.Model(plan.setup, causes, service)

        def each(
            one: prediction.Model, speeds: Callable[[Served], list[Integers] | None] = lambda _: None
        ) -> list[list[Course]]:
            return [one.simulate(run.course.arrived, run.course.since, run.course.until, speeds(run)) for run in runs]

        def true_speeds(run: Served) -> list[Integers]:
            return prediction.true_speeds(Executions.of(run.log), causes, plan.setup, self.usual)

        found: dict[Level, list[list[Course]]] = {"V1": each(undisturbed, true_speeds), "V2": each(model)}
        if any(len(rows) for run in runs for rows in self.stalls(run)):
            found["V2 stalls"] = each(model, self.stalls)
        if plan.stale is not None:
            found["V3"] = each(prediction.Model(plan.setup, causes, plan.stale))
        return found

    def facts(self, one: Served) -> Run:
        """What the record says of a run."""
        status = one.log["status"]
        lengths = np.concatenate([rows[:, 1] - rows[:, 0] for rows in self.stalls(one)])
        figures = one.course.figures()
        return Run(
            load=one.load,
            repeat=one.repeat,
            rate=one.rate,
            requests=len(status),
            answered=int(np.sum(status == 200)),
            refused=int(np.sum((status != 200) & (status > 0))),
            lost=int(np.sum(status == 0)),
            lag=tuple((np.quantile(one.log.lag(), [0.5, 0.95, 0.99]) / 1e6).round(4).tolist()),
            canary_before=one.before,
            canary_after=one.after,
            void=one.void,
            stalls=len(lengths),
            stalled_ms=float(lengths.sum()) / 1e6,
            figures={name: value for name, value in figures.items() if np.isfinite(value)},
        )
