"""What may hold a service back, and the same case with each of these relieved by 20 %.

A lever is one constraint of one pool: a time becomes 1.2 times shorter, a count or a limit 1.2 times larger (whole
numbers are rounded to the next that is better). A balancer has no size: it is replaced by one queue for the pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Literal

from pydantic import SerializeAsAny

from simulator.autoscaling import Fixed, PerRequest
from simulator.batching import Continuous
from simulator.case import Case
from simulator.dispatch import CentralQueue
from simulator.limits import Limits
from simulator.llm.loop import StepTime
from simulator.llm.plan import Plan
from simulator.llm.service import Steps
from simulator.parts import CasePool
from simulator.quantities import SECOND
from simulator.service import Law, WorkFunction
from simulator.streams import Floats

RELIEF = 1.2

Unit = Literal["", "s", "/s"]

_AUTOSCALER = {
    "max_replicas": "most replicas",
    "target": "autoscaling target",
    "interval": "autoscaling interval",
    "out_after": "periods before scaling out",
    "idle_expiry": "time until idle replicas expire",
}
"""Fields of autoscalers that are levers of their own, and how they are called."""
_LARGER = ("max_replicas", "idle_expiry")
"""Those that are relieved when they get larger; the others when they get smaller."""


_ENGINE = {
    "max_num_seqs": "requests at a time",
    "max_num_batched_tokens": "tokens a step",
    "kv_tokens": "room for tokens",
}
"""Fields of continuous batching, and how they are called."""


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


class FasterSteps(Steps):
    """The steps of another law, each 1.2 times shorter."""

    law: SerializeAsAny[Steps]

    def times(self) -> StepTime:
        """The other law's, divided."""
        return _Shorter(self.law.times())


class _Shorter:
    def __init__(self, times: StepTime) -> None:
        self.times = times

    def of(self, plan: Plan) -> int:
        return int(_less(self.times.of(plan)))

    def decoding(self, decodes: int, context: int, longest: int) -> tuple[int, int, int]:
        first, growth, count = self.times.decoding(decodes, context, longest)
        return _less(first), _less(growth), count


class Faster(Law):
    """Another law, with every time 1.2 times shorter. It has no kind: no scenario can name it."""

    law: SerializeAsAny[Law]

    def draw(self, uniform: Floats) -> Floats:
        """As the other law does."""
        return self.law.draw(uniform)

    @property
    def reads(self) -> str | None:
        """What the other law reads."""
        return self.law.reads

    @property
    def pads(self) -> bool:
        """As the other law does."""
        return self.law.pads

    def work(self) -> WorkFunction:
        """The other law's work, divided."""
        work = self.law.work()
        return lambda batch, drawn, units=0: ceil(work(batch, drawn, units) / RELIEF)

    def mean(self, batch: float, units: float = 0.0) -> float:
        """The other law's mean, divided."""
        return self.law.mean(batch, units) / RELIEF

    def largest_batch(self) -> int | None:
        """That of the other law."""
        return self.law.largest_batch()


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
            found.append(Lever(pool.name, what, before, after, unit, replace(case, pools=pools)))
    return tuple(found)


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
    law, level = stage.service, stage.service.level
    faster = FasterSteps(level=level, law=law) if isinstance(law, Steps) else Faster(level=level, law=law)
    yield Lever(pool, f"service time{whose}", alone, alone / RELIEF, "s", relieved(service=faster))
    for field in ("network", "transfer", "overhead"):
        if before := getattr(stage, field):
            after = _less(before)
            yield Lever(pool, f"{field}{whose}", before / SECOND, after / SECOND, "s", relieved(**{field: after}))


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
    if "min_replicas" in type(pool.autoscaler).model_fields and (fewest := _more(low)) <= pool.most():
        scaler = pool.autoscaler.model_copy(update={"min_replicas": fewest})
        replicas = max(fewest, min(more, pool.most()))
        yield "fewest replicas", low, fewest, "", replace(pool, autoscaler=scaler, replicas=replicas)
    for field, what in _AUTOSCALER.items():
        before = getattr(pool.autoscaler, field, None)
        if before is None:
            continue
        after = _more(before) if field in _LARGER else _less(before)
        if after:
            scaler = pool.autoscaler.model_copy(update={field: after})
            timed = field in ("interval", "idle_expiry")
            yield _told(what, before, after, timed, replace(pool, autoscaler=scaler))


def _starts(pool: CasePool) -> Iterator[_Change]:
    """The levers of a pool whose replicas come and go."""
    if pool.cold_start:
        after = _less(pool.cold_start)
        yield _told("cold start", pool.cold_start, after, True, replace(pool, cold_start=after))
    if pool.load_time:
        after = _less(pool.load_time)
        yield _told("load time", pool.load_time, after, True, replace(pool, load_time=after))
    if pool.slow_start is not None:
        before, after = pool.slow_start.lasts, _less(pool.slow_start.lasts)
        faster = pool.slow_start.model_copy(update={"lasts": after})
        yield _told("slow start", before, after, True, replace(pool, slow_start=faster))
    if pool.quota is not None:
        more = _more(pool.quota)
        yield "machine quota", pool.quota, more, "", replace(pool, quota=more)


def _batching(pool: CasePool, known: int | None) -> Iterator[_Change]:
    fields = type(pool.batching).model_fields
    if "max_batch" in fields:
        before = pool.batching.largest()
        after = min(_more(before), known or _more(before))
        if after > before:
            batching = pool.batching.model_copy(update={"max_batch": after})
            yield "largest batch", before, after, "", replace(pool, batching=batching)
    if isinstance(pool.batching, Continuous):
        for field, what in _ENGINE.items():
            before = getattr(pool.batching, field)
            batching = pool.batching.model_copy(update={field: _more(before)})
            yield what, before, _more(before), "", replace(pool, batching=batching)
    total = getattr(pool.batching, "max_total", None)
    if total:
        batching = pool.batching.model_copy(update={"max_total": _more(total)})
        yield "largest total", total, _more(total), "", replace(pool, batching=batching)
    delay = getattr(pool.batching, "max_delay", None)
    if delay:
        after = _less(delay)
        batching = pool.batching.model_copy(update={"max_delay": after})
        yield _told("batching delay", delay, after, True, replace(pool, batching=batching))


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
