"""What the simulator says of a real run: the server's own rule and causes, the device's times, the real arrivals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from calibration.live.canary import Alone
from calibration.live.causes import Causes, pure_gaps
from calibration.live.course import Course, Executions
from calibration.live.servers import Setup
from simulator.arrays import Array
from simulator.arrivals import Replay
from simulator.autoscaling import Fixed
from simulator.case import Case
from simulator.parts import CasePool, CaseStage, CaseWorkload
from simulator.quantities import SECOND
from simulator.run.engine import simulate
from simulator.run.recording import COMPLETED, END, SIZE, SLOT, START
from simulator.scenario import InstanceType
from simulator.service import Law, Table
from simulator.speed import UNIT, Constant, SpeedLaw, Steps
from simulator.streams import Draws, Integers

SEEDS = range(5)
STALL = 1_000_000
"""A batch or a gap that is longer than it can be by more is a stall of the host."""
DEVIATIONS = 4.0
"""Beyond so many deviations of the logarithm a batch is longer than its law can make it."""
_MACHINE = InstanceType.model_validate({"price": "$1/h", "cores": 1, "memory": "1GiB"})


class Courses(SpeedLaw):
    """The speed of each replica as it was measured, at true time; elsewhere the one that times were measured at.

    It has no kind: it speaks of the replicas of one measured run, so nobody can choose it.
    """

    rows: tuple[Array, ...] = Field(min_length=1)
    """By replica: (from, until, parts per million), ascending, in nanoseconds from the first arrival."""

    @classmethod
    def shifted(cls, rows: Sequence[Integers], by: int) -> Courses:
        """From rows on another clock, which is ahead by so much."""
        return cls(rows=tuple(one - np.array([by, by, 0]) for one in rows))

    def steps(self, draws: Draws, entity: str) -> Steps:
        """The course of the replica in that slot."""
        clock = 0
        for since, until, parts in self.rows[int(entity.rpartition("/")[2])].tolist():
            if until <= clock:
                continue
            if since > clock:
                yield since - clock, UNIT
            yield until - max(since, clock), parts
            clock = until
        while True:
            yield 86_400 * SECOND, UNIT

    def mean(self) -> float:
        """The one that times were measured at, as far as is known."""
        return 1.0

    def steady(self) -> bool:
        """Never."""
        return False


def typical(alone: Alone, ratio: float, largest: int) -> Table:
    """The middle of the service times alone, `ratio` times as long, with no jitter."""
    table = alone.table(ratio, largest)
    middle = table.work_ns[:, [len(table.levels) // 2] * 2]
    return Table(name="middle of the times alone", level="measured", levels=np.array([0.0, 1.0]), work_ns=middle)


def true_speeds(found: Executions, causes: Causes, setup: Setup, usual: Integers) -> list[Integers]:
    """By replica: rows of (from, until, parts per million) of its speed, where it was not the usual one.

    During a batch the speed is its usual time by the time that it took; during the part of a gap that is longer than
    gaps are the replica stood still. `usual` holds the usual time of a batch of b at b - 1.
    """
    parts = usual[found.size - 1] / (found.end - found.start) * UNIT
    rows = np.stack([found.start, found.end, np.rint(parts).astype(np.int64)], axis=1)
    return _by_replica(found, setup, rows, gap_stalls(found, causes, setup))


def stalls(found: Executions, alone: Alone, causes: Causes, setup: Setup, usual: Integers) -> list[Integers]:
    """By replica: rows of (from, until, 0) while the host stood still.

    A stall shows in a batch that is longer than the device's own spread can make it, and in a gap that is longer than
    gaps are. It ends with the batch or the gap, for what sleeps on a host that stands still wakes up late.
    """
    took, expected = found.end - found.start, usual[found.size - 1]
    longer = took - expected
    slow = (longer > expected * np.expm1(DEVIATIONS * alone.spread())) & (longer > STALL)
    rows = np.stack([found.end - longer, found.end, np.zeros_like(longer)], axis=1)
    return _by_replica(found, setup, rows, gap_stalls(found, causes, setup), slow)


def gap_stalls(found: Executions, causes: Causes, setup: Setup) -> Integers:
    """By batch: nanoseconds by which the gap before it was longer than gaps are; 0 where it was not."""
    pure = pure_gaps(found, setup, causes.forward)
    usual = causes.gap + causes.gap_per_previous * found.size[:-1] + causes.gap_per_next * found.size[1:]
    longer = (found.start[1:] - found.end[:-1] - usual).astype(np.int64)
    return np.concatenate([[0], np.where(pure & (longer > STALL), longer, 0)])


def _by_replica(
    found: Executions, setup: Setup, rows: Integers, late: Integers, which: npt.NDArray[np.bool_] | None = None
) -> list[Integers]:
    still = np.stack([found.start - late, found.start, np.zeros_like(late)], axis=1)
    parts = []
    for replica in range(setup.replicas):
        own = found.replica == replica
        inside = rows[own if which is None else own & which]
        together = np.concatenate([still[own & (late > 0)], inside])
        parts.append(together[np.argsort(together[:, 0], kind="stable")])
    return parts


@dataclass(frozen=True)
class Model:
    """All that the simulator is told of a real server."""

    setup: Setup
    causes: Causes
    service: Law

    def simulate(
        self, arrived: Integers, since: int, until: int, speeds: Sequence[Integers] | None = None
    ) -> list[Course]:
        """The courses of the same arrivals, one a seed; `speeds` are those of `true_speeds` or `stalls`."""
        speed: SpeedLaw = Constant()
        if speeds is not None:
            # Requests come to the queue when they were to be sent: its clock is behind by the way there.
            speed = Courses.shifted(speeds, self.causes.there(self.setup) + int(arrived[0]))
        return [self._once(arrived, since, until, speed, seed) for seed in SEEDS]

    def _once(self, arrived: Integers, since: int, until: int, speed: SpeedLaw, seed: int) -> Course:
        shift = self.causes.there(self.setup) + int(arrived[0])
        run = simulate(self._case(arrived, speed, seed), 0)
        visits, rows = run.visits[0], run.pools[0].batches
        done = (run.outcome == COMPLETED) & (visits.batch_of >= 0)
        back = self.causes.back + self.causes.back_per_request * rows[visits.batch_of, SIZE]
        latency = np.where(done, (run.latency + self.causes.there(self.setup) + back) / 1e6, np.nan)
        batches = rows[:, [SLOT, START, END, SIZE]] + np.array([0, shift, shift, 0])
        order = np.lexsort((batches[:, 1], batches[:, 0]))
        return Course(arrived, latency, batches[order], since, until)

    def _case(self, arrived: Integers, speed: SpeedLaw, seed: int) -> Case:
        replay = Replay(times=arrived - arrived[0])
        pool = CasePool(
            name="server",
            instance="host",
            machine=_MACHINE,
            replicas=self.setup.replicas,
            balancer=self.setup.dispatch(),
            batching=self.causes.batching(self.setup),
            autoscaler=Fixed(),
            cold_start=0,
            speed=speed,
        )
        return Case(
            title=self.setup.label,
            workloads=(CaseWorkload("load", replay, (0,), None),),
            stages=(CaseStage("server", 0, self.service),),
            pools=(pool,),
            slos=(),
            duration=int(arrived[-1] - arrived[0]) + 1,
            warmup=0,
            replications=1,
            seed=seed,
            records=True,
        )
