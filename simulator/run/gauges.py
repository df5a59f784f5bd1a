"""What the gauges of a pool's engines tell apart: slices of time, workloads, and the bounds of objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.batching import LlmEngine
from simulator.grid import Grid
from simulator.llm.readings import Readings
from simulator.slo import GAPS

if TYPE_CHECKING:
    from simulator.run.pool import PoolRun


def readings_of(pool: PoolRun) -> Readings:
    """Of the engines of a pool, none yet."""
    case = pool.tape.case
    assert isinstance(pool.case.batching, LlmEngine)
    served = {number for stage in pool.stages for number in case.visitors(stage)}
    bounds = {slo.limit for slo in case.slos if slo.timing == GAPS and slo.limit is not None}
    return Readings(Grid.of(case), sorted(served), sorted(bounds), pool.case.batching.block_tokens)
