"""How full LLM engines were: of their KV caches, with requests that ran, and with requests that waited."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from simulator.batching import LlmEngine
from simulator.figures.cost import serving_time
from simulator.figures.results import Result
from simulator.figures.statistics import Estimate, mean_of
from simulator.figures.tally import Tally
from simulator.llm.readings import HELD, RUNNING, WAITING


@dataclass(frozen=True)
class Level:
    """Of the engine of a replica (of each of its data-parallel ranks)."""

    mean: Estimate
    """Over the time in which replicas were ready."""
    most: Estimate
    """The most of one of them, on average over replications."""


@dataclass(frozen=True)
class Engines:
    """Those of one pool over the measured time."""

    pool: str
    held: Level
    """Share of the KV cache that requests hold."""
    running: Level
    """Requests that run."""
    waiting: Level
    """Requests that wait, once a step was planned after they came."""


def engines(result: Result) -> tuple[Engines, ...]:
    """Of each pool that LLM engines serve."""
    pools = enumerate(result.case.pools)
    return tuple(_engines(result, number) for number, pool in pools if isinstance(pool.batching, LlmEngine))


def found(result: Result, workload: str) -> Estimate:
    """Share of the tokens of a workload's prompts that engines found in their caches."""
    return _ratio(result, workload, "found", "prompts")


def preemptions(result: Result, workload: str) -> Estimate:
    """How often a request of a workload loses its blocks, on average."""
    return _ratio(result, workload, "preemptions", "begun")


def _ratio(result: Result, workload: str, parts: str, wholes: str) -> Estimate:
    number = result.place(workload)

    def total(run: Tally, name: str) -> float:
        return sum(float(getattr(pool, name)[number, result.begin :].sum()) for pool in run.pools)

    return mean_of([total(run, parts) / (total(run, wholes) or 1.0) for run in result.tallies])


def _engines(result: Result, number: int) -> Engines:
    pool = result.case.pools[number]
    assert isinstance(pool.batching, LlmEngine)
    ranks = pool.batching.data_parallel_size

    def level(which: int, of: float = 1.0, limit: float = inf) -> Level:
        means, most = [], []
        for run in result.tallies:
            told = run.readings[number]
            ready = ranks * serving_time(run.lives[number].replicas, result.start, result.case.duration)
            area = 0.0 if told is None else float(told.areas[which, result.begin : -1].sum())
            means.append(area / ready / of if ready else 0.0)
            most.append(0.0 if told is None else float(told.most[which, result.begin : -1].max()) / of)
        return Level(_within(mean_of(means), limit), _within(mean_of(most), limit))

    return Engines(pool.name, level(HELD, pool.batching.blocks, 1.0), level(RUNNING), level(WAITING))


def _within(estimate: Estimate, most: float) -> Estimate:
    """An estimate whose interval ends at nothing and at the most that there can be."""
    if estimate.low is None or estimate.high is None:
        return estimate
    return replace(estimate, low=max(0.0, estimate.low), high=min(most, estimate.high))
