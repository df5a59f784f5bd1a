"""What the simulator says of a real LLM engine: its own order, times of its steps, and the real requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.live.llm.course import EngineCourse
from calibration.live.llm.requests import Requests
from calibration.live.llm.setup import EngineSetup
from calibration.live.llm.steps import MaskedSteps, StepLog, stalled
from calibration.live.prediction import Courses
from simulator.arrivals import Replay
from simulator.autoscaling import Fixed
from simulator.case import Case
from simulator.dispatch import RoundRobin
from simulator.llm.service import OUTPUT, PROMPT
from simulator.parts import CasePool, CaseStage, CaseWorkload
from simulator.run.engine import simulate
from simulator.run.recording import COMPLETED, END, START
from simulator.scenario import InstanceType
from simulator.sizes import ReplayedSizes
from simulator.speed import UNIT, Constant, SpeedLaw
from simulator.streams import Floats, Integers

_MACHINE = InstanceType.model_validate({"price": "$1/h", "cores": 1, "memory": "1GiB"})


@dataclass(frozen=True)
class EngineModel:
    """All that the simulator is told of a real engine."""

    setup: EngineSetup
    steps: MaskedSteps
    there: int
    """Nanoseconds from when a request is to be sent until an idle engine begins with it."""
    back: int
    """From the last token until its client has the answer."""

    def simulate(
        self, requests: Requests, since: int, until: int, speed: Sequence[Integers] | None = None
    ) -> EngineCourse:
        """The course of the same requests; `speed` are rows of `true_speed` or `stalls`."""
        shift = int(requests.arrived[0]) + self.there
        law: SpeedLaw = Constant() if speed is None else Courses.shifted(speed, shift)
        run = simulate(self._case(requests, law), 0)
        visits, rows = run.visits[0], run.pools[0].batches
        served = (run.outcome == COMPLETED) & (visits.batch_of >= 0)
        began, last = (np.where(served, rows[visits.batch_of, column] + shift, -1) for column in (START, END))
        first = np.where(served, requests.arrived + run.timings["ttft"] + self.there, -1)
        done = np.where(served, last + self.back, -1)
        return EngineCourse(requests, began, first, last, done, since, until)

    def _case(self, requests: Requests, speed: SpeedLaw) -> Case:
        replay = Replay(times=requests.arrived - requests.arrived[0])
        sizes = {PROMPT: requests.prompt, OUTPUT: requests.output}
        laws = tuple((name, ReplayedSizes(values=values, arrivals=replay)) for name, values in sizes.items())
        pool = CasePool(
            name="engine",
            instance="host",
            machine=_MACHINE,
            replicas=1,
            balancer=RoundRobin(),
            batching=self.setup.batching(),
            autoscaler=Fixed(),
            cold_start=0,
            speed=speed,
        )
        return Case(
            title=self.setup.label,
            workloads=(CaseWorkload("load", replay, (0,), None, sizes=laws),),
            stages=(CaseStage("engine", 0, self.steps),),
            pools=(pool,),
            slos=(),
            duration=int(requests.arrived[-1] - requests.arrived[0]) + 1,
            warmup=0,
            replications=1,
            seed=0,
            records=True,
        )


def true_speed(log: StepLog, usual: Floats) -> list[Integers]:
    """Rows of (from, until, parts per million) of the engine's speed: what a step usually takes over what it took."""
    parts = np.rint(usual / log.took() * UNIT).astype(np.int64)
    return [np.stack([log.began(), log.end, parts], axis=1)]


def stalls(log: StepLog, usual: Floats) -> list[Integers]:
    """Rows of (from, until, 0) while the host stood still: as long as the steps that it stalled were too long.

    They lie at the beginning of the step; where in it they were does not show.
    """
    took = log.took()
    which = stalled(took, usual)
    began, longer = log.began()[which], np.rint(took - usual).astype(np.int64)[which]
    return [np.stack([began, began + longer, np.zeros_like(longer)], axis=1)]
