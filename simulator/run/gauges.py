"""What the gauges of a pool's engines tell apart: slices of time, workloads, and the bounds of objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.batching import Continuous
from simulator.case import Case
from simulator.grid import Grid
from simulator.llm.readings import Readings
from simulator.slo import GAPS

if TYPE_CHECKING:
    from simulator.run.pool import PoolRun


def readings_of(pool: PoolRun) -> Readings:
    """Of the engines of a pool, none yet."""
    case = pool.tape.case
    assert isinstance(pool.case.batching, Continuous)
    served = {_told(case, stage, number) for stage in pool.stages for number in case.visitors(stage)}
    bounds = {slo.limit for slo in case.slos if slo.timing == GAPS and slo.limit is not None}
    return Readings(Grid.of(case), sorted(served), sorted(bounds), pool.case.batching.block_size)


def places(pool: PoolRun, readings: Readings) -> dict[int, list[int]]:
    """By stage and workload: its place among those told apart."""
    case, order = pool.tape.case, {number: place for place, number in enumerate(readings.served)}
    numbers = range(len(case.workloads))
    return {stage: [order.get(_told(case, stage, number), 0) for number in numbers] for stage in pool.stages}


def _told(case: Case, stage: int, workload: int) -> int:
    """Whose gaps a stage makes: the workload's; of none where a later stage gives the tokens of its answers."""
    return workload if case.speaks(workload) == stage else len(case.workloads)
