"""Hypothesis strategies for every registered choice, derived from the bounds of its fields."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, Union

import annotated_types as at
import numpy as np
from cases import Serving, chain
from hypothesis import strategies as st
from pydantic import BeforeValidator, PlainSerializer
from pydantic.fields import FieldInfo

from simulator import quantities
from simulator.arrivals import Process, Replay
from simulator.arrivals.scheduled import parse_moment, parse_time_of_day, parse_zone
from simulator.autoscaling import Autoscaler
from simulator.batching import Batching, Scheduler
from simulator.case import Case, CasePool, CaseStage, CaseWorkload
from simulator.clients import Impatience, Retries
from simulator.component import Component, Record
from simulator.discipline import Discipline, FirstCome
from simulator.dispatch import Balancer
from simulator.limits import Allowance, Limits
from simulator.scenario import InstanceType
from simulator.service import Law
from simulator.sizes import ReplayedSizes, SizeLaw, Sizes
from simulator.speed import Speed

MILLISECOND = 10**6
NAMED = {
    "per_request": st.integers(0, 40).map(lambda n: f"{n}ms"),
    "per_unit": st.integers(0, 3).map(lambda n: f"{n}ms"),
}
"""Fields, by name, of which few values are of use."""
TOKENS = "tokens"
"""The size that every random workload tells."""
PARSERS: dict[Any, st.SearchStrategy[str]] = {
    quantities.parse_rate: st.integers(1, 400).map(lambda n: f"{n}/s"),
    quantities.parse_rate_or_zero: st.integers(0, 400).map(lambda n: f"{n}/s"),
    parse_time_of_day: st.integers(0, 1439).map(lambda n: f"{n // 60:02}:{n % 60:02}"),
    parse_moment: st.sampled_from(["Mon 00:00", "Wed 09:30", "Sun 23:59"]),
    parse_zone: st.sampled_from(["+00:00", "+05:30", "-08:00"]),
    quantities.parse_duration: st.integers(0, 80).map(lambda n: f"{n}ms"),
    quantities.parse_share: st.integers(0, 100).map(lambda n: f"{n}%"),
}
POSITIVE_DURATION = st.integers(1, 40).map(lambda n: f"{n}ms")


def choices(family: type[Component]) -> list[type[Component]]:
    """Every registered choice of a family that runs by value."""
    by_value = {"arrivals": Process, "service": Law, "sizes": SizeLaw}
    base = by_value.get(family.family, family)
    return [choice for choice in family.choices.values() if issubclass(choice, base)]


def instances(choice: type[Component]) -> st.SearchStrategy[Any]:
    """Random instances of one choice."""
    if choice in SPECIAL:
        return SPECIAL[choice]()
    fields = {
        name: NAMED[name] if name in NAMED else _field(field)
        for name, field in choice.model_fields.items()
        if name != "kind"
    }
    made = st.fixed_dictionaries(fields).map(lambda data: _valid(choice, _agreeing(data)))
    return made.filter(lambda found: found is not None)


def _agreeing(data: dict[str, Any]) -> dict[str, Any]:
    """Fields that only make sense together: a size and what is said of it, values and their weights."""
    if "size" in data:
        absent, present = {"per_unit": "0ms", "max_total": None}, {"per_unit": "1ms", "max_total": 9}
        for name in absent.keys() & data.keys():
            if data["size"] is None:
                data |= {name: absent[name], "padded": False}
            elif data[name] == absent[name]:
                data[name] = present[name]
    if data.get("per_request") == data.get("per_unit") == "0ms":
        data["per_request"] = "5ms"
    if "values" in data and data["weights"]:
        data["weights"] = (*data["weights"], *[1.0] * len(data["values"]))[: len(data["values"])]
    return data


def _valid(choice: type[Component], data: dict[str, Any]) -> Component | None:
    try:
        return choice.model_validate(data)
    except ValueError:
        return None  # fields that contradict each other, such as a maximum below its minimum


def _field(field: FieldInfo) -> st.SearchStrategy[Any]:
    for mark in field.metadata:
        if isinstance(mark, BeforeValidator):
            return PARSERS.get(mark.func, POSITIVE_DURATION)
    return _plain(field.annotation, field.metadata)


def is_duration(field: FieldInfo) -> bool:
    """Whether a field holds nanoseconds."""
    inner = (mark for part in typing.get_args(field.annotation) for mark in typing.get_args(part)[1:])
    marks = [*field.metadata, *inner]
    return any(isinstance(mark, PlainSerializer) and mark.func is quantities.format_duration for mark in marks)


def _plain(annotation: Any, marks: list[Any]) -> st.SearchStrategy[Any]:
    origin = typing.get_origin(annotation)
    if origin is Literal:
        return st.sampled_from(typing.get_args(annotation))
    if origin in (Union, types.UnionType):
        return st.one_of(*(_plain(part, marks) for part in typing.get_args(annotation)))
    if annotation is type(None):
        return st.none()
    if origin is Annotated:
        marks = [
            mark
            for part in annotation.__metadata__
            for mark in (part.metadata if isinstance(part, FieldInfo) else [part])
        ]
        for mark in marks:
            if isinstance(mark, BeforeValidator):
                return PARSERS.get(mark.func, POSITIVE_DURATION)
        return _plain(annotation.__origin__, marks)
    if origin is tuple:
        part = typing.get_args(annotation)[0]
        fewest = max((mark.min_length for mark in marks if isinstance(mark, at.MinLen)), default=0)
        if isinstance(part, type) and issubclass(part, Record):
            return st.lists(_plain(part, []), min_size=fewest, max_size=fewest + 3)
        return st.lists(_plain(part, []), min_size=fewest, max_size=4, unique=True).map(sorted).map(tuple)
    if annotation is str:
        return st.just(TOKENS)  # the only names that choices hold are of sizes
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return st.fixed_dictionaries({name: _field(field) for name, field in annotation.model_fields.items()})
    low: Any = 0
    high: Any = float("inf")
    for mark in marks:
        if isinstance(mark, at.Ge):
            low = mark.ge
        elif isinstance(mark, at.Gt):
            low = mark.gt
        elif isinstance(mark, at.Le):
            high = mark.le
    if annotation is int:
        return st.integers(int(low), int(min(low + 12, high)))
    if annotation is float:
        return st.floats(min(float(low) + 0.05, float(high)), min(float(low) + 3, float(high)))
    if annotation is bool:
        return st.booleans()
    raise NotImplementedError(f"no strategy for {annotation}: add one to tests/choices.py")


def _replays() -> st.SearchStrategy[Any]:
    gaps = st.lists(st.integers(0, 40 * MILLISECOND), min_size=2, max_size=150)
    times = gaps.map(lambda found: np.cumsum([0, *found, 1]))
    replay = Component.families["arrivals"].choices["replay"]
    return st.builds(
        lambda stamps, jitter, load: replay.model_validate({"times": stamps, "jitter": jitter, "load": load}),
        times,
        st.sampled_from(["0ms", "30ms"]),
        st.sampled_from([1.0, 0.4, 2.5]),
    )


def _tables() -> st.SearchStrategy[Any]:
    table = Component.families["service"].choices["table"]

    def build(steps: list[int], batches: int) -> Any:
        row = np.cumsum(np.array(steps, dtype=np.float64)) * MILLISECOND
        levels = np.linspace(0, 1, len(steps))
        work = np.stack([row * (1 + 0.3 * batch) for batch in range(batches)])
        return table.model_validate({"name": "t", "level": "assumed", "levels": levels, "work_ns": work})

    return st.builds(build, st.lists(st.integers(1, 9), min_size=2, max_size=5), st.just(16))


def _speeds(kind: str, field: str, lasts: str) -> st.SearchStrategy[Any]:
    choice = Component.families["speed"].choices[kind]
    stays = st.lists(st.tuples(st.sampled_from([0, 0.3, 1, 2]), POSITIVE_DURATION), min_size=1, max_size=4)
    return stays.map(
        lambda found: choice.model_validate(
            {field: [{"speed": speed, lasts: stay} for speed, stay in [(1, "10ms"), *found]]}
        )
    )


SPECIAL: dict[Any, Callable[[], st.SearchStrategy[Any]]] = {
    Component.families["arrivals"].choices["replay"]: _replays,
    Component.families["service"].choices["table"]: _tables,
    Component.families["speed"].choices["trace"]: lambda: _speeds("trace", "course", "lasts"),
    Component.families["speed"].choices["markov"]: lambda: _speeds("markov", "states", "mean"),
}
MACHINE = InstanceType.model_validate({"price": "$1/h", "cores": 1, "memory": "1GiB"})


def any_of(family: type[Component]) -> st.SearchStrategy[Any]:
    """Random instances of all choices of a family."""
    return st.one_of(*(instances(choice) for choice in choices(family)))


def open_arrivals() -> st.SearchStrategy[Any]:
    """Random arrivals that do not depend on the answers."""
    return any_of(Component.families["arrivals"]).filter(lambda found: not found.closed)


@st.composite
def limits(draw: st.DrawFn) -> Limits:
    """Random limits of a pool."""
    return Limits(
        queue=draw(st.one_of(st.none(), st.integers(0, 10))),
        concurrency=draw(st.one_of(st.none(), st.integers(1, 12))),
        rate=draw(st.one_of(st.none(), st.just("50/s"))),  # type: ignore[arg-type]  # as users write it
        burst=draw(st.integers(1, 4)),
        rates=draw(st.dictionaries(st.just("load-1"), st.just(Allowance.model_validate({"rate": "30/s", "burst": 2})))),
        shed=draw(st.dictionaries(st.just("load-0"), st.integers(0, 5))),
    )


@st.composite
def retries(draw: st.DrawFn) -> Retries:
    """Random retries of a workload."""
    fields = {
        "limit": draw(st.integers(1, 4)),
        "backoff": f"{draw(st.integers(0, 50))}ms",
        "jitter": draw(st.sampled_from(["0%", "50%", "100%"])),
        "longest": draw(st.one_of(st.none(), st.just("60ms"))),
        "budget": draw(st.one_of(st.none(), st.just("20%"))),
    }
    return Retries.model_validate(fields)


def impatience() -> st.SearchStrategy[Impatience]:
    """Random clients who leave the queue."""
    return st.builds(
        lambda mean, spread: Impatience.model_validate({"mean": f"{mean}ms", "spread": spread}),
        st.integers(1, 100),
        st.sampled_from(["constant", "exponential"]),
    )


def _willing(**fields: Any) -> CaseWorkload:
    """Clients who come back do not leave the queue."""
    if fields["retries"] is not None or fields["arrivals"].closed:
        fields["impatience"] = None
    return CaseWorkload(**fields)


@st.composite
def pools(draw: st.DrawFn, /, name: str, **fixed: Any) -> Serving:
    """A random pool and its law; `fixed` holds the choices that are given."""
    autoscaler = fixed.get("autoscaler") or draw(any_of(Autoscaler))
    low, high = autoscaler.bounds(draw(st.integers(1, 6)))
    batching = fixed.get("batching") or draw(any_of(Batching))
    law = fixed.get("service") or draw(any_of(Component.families["service"]))
    discipline = fixed.get("discipline") or draw(st.one_of(st.just(FirstCome()), any_of(Discipline)))
    if isinstance(batching, Scheduler) and discipline != FirstCome():
        if "batching" in fixed:
            discipline = FirstCome()
        else:
            batching = draw(any_of(Batching).filter(lambda found: not isinstance(found, Scheduler)))
    balancers = any_of(Balancer)
    if isinstance(batching, Scheduler):
        balancers = balancers.filter(lambda found: not found.shared_queue)
    balancer = fixed.get("balancer") or draw(balancers)
    if balancer.shared_queue and isinstance(batching, Scheduler):
        batching = draw(any_of(Batching).filter(lambda found: not isinstance(found, Scheduler)))
    largest = law.largest_batch()
    if largest is not None and batching.largest() > largest:
        law = draw(any_of(Component.families["service"]).filter(lambda found: found.largest_batch() is None))
    made = CasePool(
        name=name,
        instance="box",
        machine=MACHINE,
        replicas=draw(st.integers(low, min(high, low + 5))),
        balancer=balancer,
        batching=batching,
        autoscaler=autoscaler,
        cold_start=draw(st.integers(0, 300)) * MILLISECOND,
        limits=None if fixed.get("plain") else draw(st.one_of(st.none(), limits())),
        instances=draw(st.integers(1, 3)),
        speed=fixed.get("speed") or draw(any_of(Speed)),
        discipline=discipline,
    )
    return Serving(made, law)


def _sized(arrivals: Process, sizes: SizeLaw | None) -> st.SearchStrategy[dict[str, Any]]:
    """Arrivals, with sizes that may be those of a replay."""
    laws = [instances(law) for law in choices(Sizes) if law is not ReplayedSizes]
    if isinstance(arrivals, Replay):
        laws.append(st.just(ReplayedSizes(values=np.arange(len(arrivals.times)) % 7, arrivals=arrivals)))
    found = st.one_of(*laws) if sizes is None else st.just(sizes)
    return found.map(lambda law: {"arrivals": arrivals, "sizes": ((TOKENS, law),)})


def items(most: int) -> st.SearchStrategy[Any]:
    """How many items requests bring, up to a number."""
    values = st.lists(st.integers(1, most), min_size=1, max_size=3)
    empirical = Component.families["sizes"].choices["empirical"]
    return values.map(lambda found: empirical.model_validate({"values": found}))


def _fits(one: Serving) -> int:
    """The most items that requests to a pool may bring."""
    batching, measured = one.pool.batching, one.service.largest_batch()
    fits = [n for n in (1, 2, 3, 4) if batching.most(n) >= n and (measured is None or batching.most(n) <= measured)]
    return max(fits)


@st.composite
def cases(draw: st.DrawFn, /, **fixed: Any) -> Case:
    """A random case of one or two workloads over one or two pools, about a second long.

    `plain=True` leaves out limits, retries and closed loops: then all that is sent stands on the tape beforehand.
    """
    plain = fixed.get("plain", False)
    leaving = st.one_of(st.none(), st.none(), impatience())
    arrivals = open_arrivals() if plain else any_of(Component.families["arrivals"])
    found = [draw(pools("first", **fixed))]
    if draw(st.booleans()):
        found.append(draw(pools("second", **fixed)))
    timeout = st.one_of(st.none(), st.integers(20, 400).map(lambda n: n * MILLISECOND))
    ways = st.sampled_from([0, 0, 3 * MILLISECOND])
    stages = chain(*found)
    if draw(st.booleans()):
        stages = tuple(_shaped(draw, stages, ways))
    most = min(_fits(one) for one in found)
    times = st.just(fixed["arrivals"]) if "arrivals" in fixed else arrivals
    workloads = [
        _willing(
            name=f"load-{number}",
            **draw(times.flatmap(lambda given: _sized(given, fixed.get("sizes")))),
            stages=tuple(range(len(stages))),
            timeout=t,
            cancels=draw(st.booleans()),
            retries=None if plain else draw(st.one_of(st.none(), retries())),
            impatience=None if plain else draw(leaving),
            reply=draw(ways),
            priority=draw(st.integers(0, 3)),
            deadline=draw(st.one_of(st.none(), st.integers(1, 100).map(lambda n: n * MILLISECOND))),
            weight=draw(st.integers(1, 4)),
            items=draw(st.one_of(st.none(), items(most))),
        )
        for number, t in enumerate(draw(st.lists(timeout, min_size=1, max_size=2)))
    ]
    return Case(
        title="random",
        workloads=tuple(workloads),
        stages=stages,
        pools=tuple(one.pool for one in found),
        slos=(),
        duration=draw(st.integers(200, 1000)) * MILLISECOND,
        warmup=0,
        replications=2,
        seed=draw(st.integers(0, 2**32)),
    )


def _shaped(draw: st.DrawFn, stages: tuple[CaseStage, ...], ways: st.SearchStrategy[int]) -> Iterator[CaseStage]:
    """Up to two more stages on the same pools, fork and join, and ways between them."""
    more = draw(st.lists(st.sampled_from(stages), max_size=2))
    for number, stage in enumerate([*stages, *more]):
        after = tuple(sorted(draw(st.sets(st.integers(0, number - 1), max_size=2)))) if number else ()
        network, transfer, overhead = draw(ways), draw(ways), draw(ways)
        name = f"{stage.name}-{number}"
        yield CaseStage(name, stage.pool, stage.service, after, network, transfer, overhead)
