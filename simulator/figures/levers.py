"""What may hold a service back, and the same case with each of these relieved by 20 %.

A lever is one constraint of one pool: a time becomes 1.2 times shorter, a count or a limit 1.2 times larger (whole
numbers are rounded to the next that is better). A balancer has no size: it is replaced by one queue for the pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal

from simulator.autoscaling import Fixed, PerRequest
from simulator.batching import Continuous, LlmEngine
from simulator.case import Case
from simulator.component import Record
from simulator.dispatch import CentralQueue
from simulator.figures.faster import RELIEF, faster
from simulator.limits import Limits
from simulator.parts import CasePool, CaseSupply
from simulator.quantities import SECOND
from simulator.run.machines import first_machines
from simulator.start import Start

Unit = Literal["", "s", "/s"]

_AUTOSCALER = {
    "max_replicas": "most replicas",
    "target": "autoscaling target",
    "interval": "autoscaling interval",
    "out_after": "periods before scaling out",
    "idle_expiry": "time until idle replicas expire",
}
"""Fields of autoscalers, and of their policies, that are levers of their own, and how they are called."""
_LARGER = ("max_replicas", "idle_expiry")
"""Those that are relieved when they get larger; the others when they get smaller."""


@dataclass(frozen=True)
class Lever:
    """One constraint, and the case in which it is relieved."""

    pool: str
    what: str
    """Such as `replicas` or `service time`."""
    before: float | str
    after: float | str
    unit: Unit
    case: Case


def levers(case: Case) -> tuple[Lever, ...]:
    """Every constraint of every stage and pool, pool by pool."""
    found: list[Lever] = []
    for number, pool in enumerate(case.pools):
        for position in case.stages_of(number):
            found += _stage(case, position)
        largest = [case.stages[position].service.largest_batch() for position in case.stages_of(number)]
        known = min((size for size in largest if size is not None), default=None)
        for what, before, after, unit, relieved in _of(pool, known):
            pools = (*case.pools[:number], relieved, *case.pools[number + 1 :])
            supply = relieved.supply
            if supply is None or first_machines(pools, supply) <= (supply.rules.quota or inf):
                found.append(Lever(pool.name, what, before, after, unit, replace(case, pools=pools)))
    return (*found, *_supplies(case))


def _supplies(case: Case) -> Iterator[Lever]:
    """The quotas that pools share, each told of the first pool whose replicas come and go."""
    first: dict[str, tuple[str, CaseSupply]] = {}
    for pool in case.pools:
        if pool.supply is not None and (pool.faults or not isinstance(pool.autoscaler, Fixed)):
            first.setdefault(pool.supply.name, (pool.name, pool.supply))
    for name, supply in first.values():
        if (quota := supply.rules.quota) is None:
            continue
        more = replace(supply, rules=supply.rules.model_copy(update={"quota": _more(quota)}))
        pools = tuple(replace(pool, supply=more) if pool.supply == supply else pool for pool in case.pools)
        yield Lever(name, f"machine quota of {supply.name}", quota, _more(quota), "", replace(case, pools=pools))


def _stage(case: Case, position: int) -> Iterator[Lever]:
    """The service time of a stage, and the way to it."""
    stage = case.stages[position]
    pool = case.pools[stage.pool].name
    whose = f" of {stage.label}" if len(case.stages_of(stage.pool)) > 1 else ""

    def relieved(**fields: Any) -> Case:
        stages = (*case.stages[:position], replace(stage, **fields), *case.stages[position + 1 :])
        return replace(case, stages=stages)

    demand = case.demand(position)
    alone = demand.work([demand.items()])[0] / SECOND
    yield Lever(pool, f"service time{whose}", alone, alone / RELIEF, "s", relieved(service=faster(stage.service)))
    for field in ("network", "transfer", "overhead"):
        if before := getattr(stage, field):
            after = _less(before)
            yield Lever(pool, f"{field}{whose}", before / SECOND, after / SECOND, "s", relieved(**{field: after}))
    if (way := stage.sends) is not None:
        faster_way = way.model_copy(update={"bandwidth": way.bandwidth * RELIEF, "latency": _less(way.latency)})
        prompt = sum(demand.tokens()[:3])
        took, takes = ((one.time(prompt) + one.latency) / SECOND for one in (way, faster_way))
        yield Lever(pool, "transfer of keys and values", took, takes, "s", relieved(sends=faster_way))


_Change = tuple[str, float | str, float | str, Unit, CasePool]


def _of(pool: CasePool, known: int | None) -> Iterator[_Change]:
    """The levers of a pool; `known` is the largest batch whose time is known, if there is one."""
    yield from _replicas(pool)
    if pool.faults or not isinstance(pool.autoscaler, Fixed):
        yield from _starts(pool)
    routed = not pool.balancer.shared_queue and not isinstance(pool.autoscaler, PerRequest)
    joinable = routed and not pool.batching.own_queue
    if joinable and pool.autoscaler.bounds(pool.replicas)[1] > 1:
        yield "balancer", pool.balancer.model_dump()["kind"], "central_queue", "", _central(pool)
    yield from _batching(pool, known)
    if pool.limits is not None:
        yield from _limits(pool, pool.limits)


def _replicas(pool: CasePool) -> Iterator[_Change]:
    more = _more(pool.replicas)
    if isinstance(pool.autoscaler, Fixed):
        if pool.quota is None or more <= pool.quota * pool.per_machine:
            yield "replicas", pool.replicas, more, "", replace(pool, replicas=more)
        return
    low = pool.autoscaler.bounds(pool.replicas)[0]
    if "min_replicas" in type(pool.autoscaler).model_fields and (fewest := max(_more(low), 1)) <= pool.most():
        scaler = pool.autoscaler.model_copy(update={"min_replicas": fewest})
        replicas = max(fewest, min(more, pool.most()))
        yield "fewest replicas", low, fewest, "", replace(pool, autoscaler=scaler, replicas=replicas)
    for what, field, before, after in _eased(pool.autoscaler):
        scaler = pool.autoscaler.model_copy(update={field: after})
        yield _told(what, before, after, field in ("interval", "idle_expiry"), replace(pool, autoscaler=scaler))
    policies = getattr(pool.autoscaler, "policies", ())
    for number, policy in enumerate(policies):
        whose = f" of policy {number + 1}" if len(policies) > 1 else ""
        for what, field, before, after in _eased(policy):
            changed = policy.model_copy(update={field: after})
            scaler = pool.autoscaler.model_copy(
                update={"policies": (*policies[:number], changed, *policies[number + 1 :])}
            )
            yield _told(f"{what}{whose}", before, after, False, replace(pool, autoscaler=scaler))


def _eased(record: Record) -> Iterator[tuple[str, str, float, float]]:
    """The levers among the fields of an autoscaler or of one of its policies: their names, before and after."""
    for field, what in _AUTOSCALER.items():
        before = getattr(record, field, None)
        if before is not None and (after := _more(before) if field in _LARGER else _less(before)):
            yield what, field, before, after


def _starts(pool: CasePool) -> Iterator[_Change]:
    """The levers of a pool whose replicas come and go."""
    if pool.cold_start:
        after = _less(pool.cold_start)
        yield _told("cold start", pool.cold_start, after, True, replace(pool, cold_start=after))
    if pool.load_time:
        after = _less(pool.load_time)
        yield _told("load time", pool.load_time, after, True, replace(pool, load_time=after))
    if pool.start is not None:
        yield from _steps(pool, pool.start)
    if pool.slow_start is not None:
        before, after = pool.slow_start.lasts, _less(pool.slow_start.lasts)
        faster = pool.slow_start.model_copy(update={"lasts": after})
        yield _told("slow start", before, after, True, replace(pool, slow_start=faster))
    if pool.quota is not None:
        more = _more(pool.quota)
        yield "machine quota", pool.quota, more, "", replace(pool, quota=more)


def _steps(pool: CasePool, start: Start) -> Iterator[_Change]:
    """The levers of a start: each of its steps."""
    for name, step in start.steps():
        shorter = step.shorter(RELIEF)
        if shorter.average() < step.average():
            relieved = replace(pool, start=start.model_copy(update={name: shorter}))
            yield _told(f"start: {name.replace('_', '-')}", step.average(), shorter.average(), True, relieved)
    if start.probe is not None:
        probe = start.probe.model_copy(update={"period": max(1, _less(start.probe.period))})
        relieved = replace(pool, start=start.model_copy(update={"probe": probe}))
        yield _told("start: probe period", start.probe.period, probe.period, True, relieved)


def _batching(pool: CasePool, known: int | None) -> Iterator[_Change]:
    fields = type(pool.batching).model_fields
    if "max_batch" in fields:
        before = pool.batching.largest()
        after = min(_more(before), known or _more(before))
        if after > before:
            batching = pool.batching.model_copy(update={"max_batch": after})
            yield "largest batch", before, after, "", replace(pool, batching=batching)
    if isinstance(pool.batching, LlmEngine):
        for field, what in pool.batching.levers.items():
            before = getattr(pool.batching, field)
            if before > 0:  # else there is no such bound
                batching = pool.batching.model_copy(update={field: _more(before)})
                yield what, before, _more(before), "", replace(pool, batching=batching)
        yield from _around(pool, pool.batching)
        yield from _shared_steps(pool, pool.batching)
    total = getattr(pool.batching, "max_total", None)
    if total:
        batching = pool.batching.model_copy(update={"max_total": _more(total)})
        yield "largest total", total, _more(total), "", replace(pool, batching=batching)
    delay = getattr(pool.batching, "max_delay", None)
    if delay:
        after = _less(delay)
        batching = pool.batching.model_copy(update={"max_delay": after})
        yield _told("batching delay", delay, after, True, replace(pool, batching=batching))


def _around(pool: CasePool, batching: LlmEngine) -> Iterator[_Change]:
    """The levers of what is around an engine: its host, its front end, the model that drafts, adapters."""
    for part in ("host", "front_end", "speculation", "adapters"):
        terms: Record | None = getattr(batching, part, None)
        if terms is None:
            continue
        for field, before in terms:
            if before and field not in ("tokens", "acceptance"):
                after = _more(before) if (counted := field == "max_loras") else _less(before)
                update = {part: terms.model_copy(update={field: after})}
                relieved = replace(pool, batching=batching.model_copy(update=update))
                yield _told(f"{part}: {field}".replace("_", " "), before, after, not counted, relieved)


def _shared_steps(pool: CasePool, batching: LlmEngine) -> Iterator[_Change]:
    """That long prompts leave some of a step to others, which is no lever of 20 %: a quarter of it at first."""
    if isinstance(batching, Continuous) and batching.chunked_prefill and not batching.static:
        before = batching.long_prefill_token_threshold
        after = _less(before) if before else batching.max_num_batched_tokens // 4
        if after > batching.drafts:
            relieved = batching.model_copy(update={"long_prefill_token_threshold": after})
            yield "tokens of one prompt in a step", before or "any", after, "", replace(pool, batching=relieved)


def _limits(pool: CasePool, limits: Limits) -> Iterator[_Change]:
    def relieved(**fields: Any) -> CasePool:
        return replace(pool, limits=limits.model_copy(update=fields))

    if limits.queue is not None:
        after = max(_more(limits.queue), 1)
        yield "queue limit", limits.queue, after, "", relieved(queue=after)
    if limits.concurrency is not None:
        after = _more(limits.concurrency)
        yield "concurrency limit", limits.concurrency, after, "", relieved(concurrency=after)
    if limits.rate is not None:
        yield "rate limit", limits.rate, limits.rate * RELIEF, "/s", relieved(rate=limits.rate * RELIEF)
    for name, own in limits.rates.items():
        relief = {**limits.rates, name: own.model_copy(update={"rate": own.rate * RELIEF})}
        yield f"rate limit of {name}", own.rate, own.rate * RELIEF, "/s", relieved(rates=relief)
    if limits.shed:
        shed = {name: max(_more(length), 1) for name, length in limits.shed.items()}
        before, after = min(limits.shed.values()), min(shed.values())
        yield "shedding limit", before, after, "", relieved(shed=shed)


def _central(pool: CasePool) -> CasePool:
    """One queue for all replicas, with room for as many as the replicas' own queues had."""
    limits = pool.limits
    if limits is not None:
        queue = None if limits.queue is None else limits.queue * pool.replicas
        shed = {name: length * pool.replicas for name, length in limits.shed.items()}
        limits = limits.model_copy(update={"queue": queue, "shed": shed})
    return replace(pool, balancer=CentralQueue(), limits=limits)


def _told(what: str, before: float, after: float, timed: bool, pool: CasePool) -> _Change:
    return (what, before / SECOND, after / SECOND, "s", pool) if timed else (what, before, after, "", pool)


def _more(count: int) -> int:
    """1.2 times as many, rounded up."""
    return -(-count * 6 // 5)


def _less(value: Any) -> Any:
    """A 1.2nd of it; whole numbers are rounded down."""
    return value * 5 // 6 if isinstance(value, int) else value / RELIEF
