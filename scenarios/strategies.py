"""Strategies: other ways to run the same service, as pure functions of its scenario.

A strategy changes one pool, or how two share their machines, and gives its options by name, from the least to the most
capable. Options are scenarios like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from scenarios.pools import instance_type
from simulator.autoscaling import Fixed
from simulator.errors import InputError, suggestion
from simulator.run.machines import machines_for, room_beside
from simulator.scenario import Pool, Scenario

Strategy = Callable[[Scenario, str], dict[str, Scenario]]
"""(scenario, the pool to change) -> options by name."""
MOST_REPLICAS = 512
_MOST_SPLITS = 11


def vertical(scenario: Scenario, pool: str) -> dict[str, Scenario]:
    """Other machines, as many as now: the instance types of which the pool's service times are known, by price."""
    kinds = ladder(scenario, pool)
    prices = {kind: instance_type(scenario, kind, f"instances.{kind}").price for kind in kinds}
    return _named(
        _change(scenario, pool, instance=kind) for kind in sorted(kinds, key=lambda kind: (prices[kind], kind))
    )


def horizontal(scenario: Scenario, pool: str) -> dict[str, Scenario]:
    """More or fewer machines of the same type, each with all the replicas that it has room for: a fixed number."""
    each, most = scenario.pools[pool].per_machine, min([MOST_REPLICAS, *_room(scenario, pool)])
    counts = range(each, max(most, each) + 1, each)
    return _named(_change(scenario, pool, replicas=replicas, autoscaler=Fixed()) for replicas in counts)


def _room(scenario: Scenario, pool: str) -> Iterator[int]:
    """The most replicas that quotas leave room for, where the other pools stay as they are."""
    one = scenario.pools[pool]
    if one.quota is not None:
        yield one.quota * one.per_machine
    quota = None if one.supply is None else scenario.supplies[one.supply].quota
    if quota is not None:
        others = [other for name, other in scenario.pools.items() if other.supply == one.supply and name != pool]
        yield room_beside(one, others, quota)


def split(scenario: Scenario, pool: str) -> dict[str, Scenario]:
    """The same machines, where an LLM's prompts are computed apart: one pool that does both, and other splits."""
    for name, model in scenario.models.items():
        for number, stage in enumerate(model.stages):
            if stage.kv_transfer is None:
                continue
            computes, answers = model.stages[model.before(number)[0]].pool, stage.pool
            pools = scenario.pools[computes], scenario.pools[answers]
            if pool in (computes, answers) and pools[0].instance == pools[1].instance:
                total = pools[0].replicas + pools[1].replicas
                counts = np.unique(np.linspace(1, total - 1, min(total - 1, _MOST_SPLITS)).round().astype(int)).tolist()
                splits = (_fixed(_fixed(scenario, computes, count), answers, total - count) for count in counts)
                return _named([_together(scenario, name, number, total), *splits])
    return {}


def _fixed(scenario: Scenario, pool: str, replicas: int) -> Scenario:
    return _change(scenario, pool, replicas=replicas, autoscaler=Fixed())


def _together(scenario: Scenario, name: str, number: int, replicas: int) -> Scenario:
    """The stage that answers computes the prompts too, on so many replicas of its pool."""
    model = scenario.models[name]
    first = model.before(number)[0]
    computes, answers = model.stages[first], model.stages[number]
    after = tuple(model.stages[before].called for before in model.before(first))
    way = {field: getattr(computes, field) for field in ("network", "network_spread", "transfer", "overhead", "only")}
    whole = answers.model_copy(update={**way, "after": after, "kv_transfer": None})
    stages = tuple(whole if stage is answers else stage for stage in model.stages if stage is not computes)
    models = {**scenario.models, name: model.model_copy(update={"stages": stages})}
    pools = {pool: one for pool, one in scenario.pools.items() if pool != computes.pool}
    both = scenario.model_copy(update={"models": models, "pools": pools})
    return _fixed(both, answers.pool, replicas)


STRATEGIES: dict[str, Strategy] = {"vertical": vertical, "horizontal": horizontal, "split": split}
"""By the name that `--strategies` takes."""


def choose(names: Iterable[str]) -> dict[str, Strategy]:
    """Strategies by name. Raises InputError."""
    chosen = {}
    for name in names:
        if name not in STRATEGIES:
            raise InputError(f"{name!r} is not a strategy", path="--strategies", fix=suggestion(name, STRATEGIES))
        chosen[name] = STRATEGIES[name]
    if not chosen:
        raise InputError("names no strategy", path="--strategies", fix=suggestion("", STRATEGIES))
    return chosen


def describe(scenario: Scenario) -> str:
    """The pools in a few words, such as `3 x c7a.large`."""
    several = len(scenario.pools) > 1
    parts = [f"{name}: {_size(pool)}" if several else _size(pool) for name, pool in scenario.pools.items()]
    return ", ".join(parts)


def ladder(scenario: Scenario, pool: str) -> list[str]:
    """The instance types that a pool can run on: those of which every stage on it says how long its batches take."""
    stages = [stage for model in scenario.models.values() for stage in model.stages if stage.pool == pool]
    return [kind for kind in stages[0].service if all(kind in stage.service for stage in stages)]


def _size(pool: Pool) -> str:
    low, high = pool.autoscaler.bounds(pool.replicas)
    fixed = isinstance(pool.autoscaler, Fixed)
    count, scaled = (str(pool.replicas), "") if fixed else (f"{low}-{high}", ", autoscaled")
    if pool.per_machine == 1:
        return f"{count} x {pool.instance}{scaled}"
    if fixed:
        return f"{count} replicas on {machines_for(pool, pool.replicas)} x {pool.instance}"
    return f"{count} replicas, up to {pool.per_machine} on each {pool.instance}{scaled}"


def _named(options: Iterable[Scenario]) -> dict[str, Scenario]:
    return {describe(option): option for option in options}


def _change(scenario: Scenario, pool: str, **fields: Any) -> Scenario:
    changed = scenario.pools[pool].model_copy(update=fields)
    return scenario.model_copy(update={"pools": {**scenario.pools, pool: changed}})
