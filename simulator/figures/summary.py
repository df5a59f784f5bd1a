"""What each pool of a result did over the measured time: its load, its use, its size, and how much of it was there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

from simulator.autoscaling import PerRequest
from simulator.batching import LlmEngine
from simulator.case import Case
from simulator.figures.cost import machine_time, serving_time
from simulator.figures.statistics import Estimate, mean_of
from simulator.figures.tally import Tally
from simulator.grid import BINS
from simulator.run.lives import Lives
from simulator.service import weakness

_NEARLY = 0.99


@dataclass(frozen=True)
class PoolSummary:
    """One pool over the measured time."""

    name: str
    instance: str
    level: str
    """How its service times are known: as the least known of its stages."""
    load: float
    """Offered load over the capacity of the most replicas at their best batch size."""
    slack: float
    """How many times that capacity it may turn out to have."""
    busy: Estimate
    """Share of the replicas' time in service."""
    batch: Estimate
    """Mean requests per batch; where batching is continuous, those that are served at a time."""
    machines: Estimate
    """Mean machines in use."""
    ready: Estimate | None
    """Share of the wanted replicas that is ready, on average; None where no fault can change it, or none is wanted."""
    found: Estimate | None = None
    """Share of the tokens of prompts that engines found in their caches; None where no engine computes any."""
    preemptions: Estimate | None = None
    """How often a request loses its blocks, on average; None where no engine serves."""
    loads: Estimate | None = None
    """How often an adapter is loaded for a request, on average; None where no engine loads any."""

    @property
    def inflation(self) -> float:
        """How many replicas must be wanted for each that is to be ready on average."""
        ready = 1.0 if self.ready is None else self.ready.value or 0.0
        return 1 / ready if ready else inf

    @property
    def strain(self) -> float:
        """Offered load over the capacity that is ready on average: one or more only where nothing else can be."""
        return max(self.load / self.slack, min(self.load, _NEARLY)) * self.inflation


def summarise(case: Case, number: int, runs: Sequence[Tally], begin: int) -> PoolSummary:
    """The summary of a pool from slice `begin` to the end of the run."""
    pool, since, until = case.pools[number], int(runs[0].grid.edges[begin]), case.duration
    busy, batch, machines = [], [], []
    for run in runs:
        used, lives = run.pools[number], run.lives[number]
        serving = serving_time(lives.replicas, since, until) * case.devices(number)
        busy.append(float(used.busy[begin:].sum()) / serving if serving else 0.0)
        batches = float(used.batches[begin:].sum())
        batch.append(float(used.visits[begin * BINS :].sum()) / batches if batches else 0.0)
        if isinstance(pool.batching, LlmEngine):
            batch[-1] = float(used.inside[begin:].sum()) / float(used.busy[begin:].sum() or 1.0)
        machines.append(machine_time(lives.machines, since, until) / (until - since))
    wanted = pool.faults and not isinstance(pool.autoscaler, PerRequest)
    ready = [share_ready(run.lives[number], pool.replicas, since, until) for run in runs] if wanted else []
    levels = [case.stages[stage].service.level for stage in case.stages_of(number)]
    return PoolSummary(
        name=pool.name,
        instance=" or ".join(dict.fromkeys(kind.instance for kind in pool.kinds())),
        level=max(levels, key=weakness),
        load=case.load(number),
        slack=case.slack(number),
        busy=_share(mean_of(busy)),
        batch=mean_of(batch),
        machines=mean_of(machines),
        ready=_share(mean_of(ready)) if ready else None,
        **_of_engines(case, number, runs, begin),
    )


def _of_engines(case: Case, number: int, runs: Sequence[Tally], begin: int) -> dict[str, Estimate | None]:
    """What prompts found, where any are computed, what was lost, and what was loaded."""
    batching = case.pools[number].batching
    if not isinstance(batching, LlmEngine):
        return {}
    pools = [run.pools[number] for run in runs]
    computes = all(case.stages[stage].receives is None for stage in case.stages_of(number))

    def ratio(parts: str, wholes: str) -> Estimate:
        pairs = [(getattr(one, parts)[:, begin:].sum(), getattr(one, wholes)[:, begin:].sum()) for one in pools]
        return mean_of([float(part / whole) if whole else 0.0 for part, whole in pairs])

    found = _share(ratio("found", "prompts")) if computes else None
    loads = ratio("loads", "begun") if batching.adapts else None
    return {"found": found, "preemptions": ratio("preemptions", "begun"), "loads": loads}


def _share(estimate: Estimate) -> Estimate:
    """An estimate of a share, whose interval ends at nothing and at all."""
    if estimate.low is None or estimate.high is None:
        return estimate
    return replace(estimate, low=max(0.0, estimate.low), high=min(1.0, estimate.high))


def share_ready(lives: Lives, replicas: int, since: int, until: int) -> float:
    """Ready replicas over wanted ones, between two times; those beyond the wanted do not count."""
    wanted = {0: replicas, **{decision.time: decision.desired for decision in lives.scaling}}
    changes = lives.changes()
    ready = desired = there = asked = 0
    times = sorted({since, until, *wanted, *changes})
    for time, after in zip(times, [*times[1:], until], strict=True):
        ready += changes.get(time, 0)
        desired = wanted.get(time, desired)
        span = max(0, min(after, until) - max(time, since))
        there += span * min(ready, desired)
        asked += span * desired
    return there / asked if asked else 1.0
