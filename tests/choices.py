"""Hypothesis strategies for every registered choice, derived from the bounds of its fields."""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Annotated, Any, Literal, Union

import annotated_types as at
import numpy as np
from cases import Serving, chain
from hypothesis import strategies as st
from pydantic import BeforeValidator, PlainSerializer
from pydantic.fields import FieldInfo

from calibration.profile import shipped_profiles
from scenarios.load import LIBRARY
from simulator import quantities
from simulator.arrays import Chains
from simulator.arrivals import Closed, InTurns, Process, Replay, calendar
from simulator.autoscaling import Autoscaler, Manifest, Metric, PerRequest
from simulator.autoscaling.amount import Amount as Thousandths
from simulator.autoscaling.aws import Tracking
from simulator.autoscaling.hpa.spec import TARGETS, HpaController
from simulator.autoscaling.metric import POOL_SIGNALS, REPLICA_SIGNALS
from simulator.batching import Batching, LlmEngine, NoBatching
from simulator.batching.llm_engine import EngineFrontEnd, EngineHost
from simulator.case import Case
from simulator.component import Component, Record
from simulator.discipline import Discipline, FirstCome
from simulator.dispatch import Balancer, RoundRobin
from simulator.faults import ControllerRestart, Fault, MetricsOutage
from simulator.faults.rolling import Amount
from simulator.habits import Impatience, Retries
from simulator.hashed import Hashed
from simulator.limits import Allowance, Limits
from simulator.llm.adapters import Adapters
from simulator.llm.layers import LayerTable
from simulator.llm.service import OUTPUT, PROMPT, Steps
from simulator.llm.speculation import Speculation
from simulator.model import KvTransfer, Model, Spread, Transfer
from simulator.parts import CaseFallback, CasePool, CaseStage, CaseSupply, CaseWorkload, Kind
from simulator.prompts import Prompts
from simulator.run.machines import machines_for
from simulator.runs import Run
from simulator.scenario import InstanceType, Pool
from simulator.service import Law
from simulator.sharing import Separate, Sharing
from simulator.sizes import ReplayedSizes, SizeLaw, Sizes
from simulator.slow_start import SlowStart
from simulator.speed import Speed, SpeedLaw
from simulator.start import Probe, Start, Step
from simulator.supply import ClusterAutoscaler, Fallback, StockOut, Supply
from simulator.talks import Talks
from simulator.variant import Variant
from simulator.workload import Workload

MILLISECOND = 10**6
SPREADS: tuple[Spread, ...] = ("constant", "constant", "uniform", "exponential")


def parser(quantity: Any) -> Any:
    """The function by which a quantity is known: the one that reads it."""
    return next(mark.func for mark in typing.get_args(quantity)[1:] if isinstance(mark, BeforeValidator))


NAMES = ("a", "1e3", "null", "c7a.large", "2026-03-29", "No_9")
"""Among them some that YAML could take for something else."""
TEXT = st.characters(exclude_categories=("Cc", "Cs"))
TOKENS = "tokens"
"""The size that every random workload tells."""
PROMPTS = [
    Prompts(shared=5, groups=2),
    Prompts(history=True),
    Prompts(shared=3, history=True, longest=20),
]
"""What prompts may have in common."""
EITHER = st.booleans()
DURATION = st.integers(0, 80).map(lambda n: f"{n}ms")
POSITIVE_DURATION = st.integers(1, 40).map(lambda n: f"{n}ms")
QUANTITIES: dict[Any, st.SearchStrategy[Any]] = {
    parser(calendar.Moment): st.sampled_from(["Mon 00:00", "Wed 09:30Z", "2026-03-29 01:59", "2026-10-25 00:59Z"]),
    parser(calendar.TimeOfDay): st.integers(0, 1439).map(lambda n: f"{n // 60:02}:{n % 60:02}"),
    parser(calendar.Zone): st.sampled_from(["+00:00", "-08:00", "Europe/Berlin", "Asia/Kolkata"]),
    parser(Amount): st.sampled_from(["0%", "25%", "30%", "100%", 0, 1, 2]),
    parser(Thousandths): st.sampled_from(["100m", "0.05", "0.7", "2", 3, "1e1"]),
    parser(quantities.Bandwidth): st.integers(1, 40).map(lambda n: f"{n}Gbit/s"),
    parser(quantities.Duration): DURATION,
    parser(quantities.Memory): st.integers(1, 64).map(lambda n: f"{n}GiB"),
    parser(quantities.PositiveDuration): POSITIVE_DURATION,
    parser(quantities.Precision): st.integers(1, 50).map(lambda n: f"{n}%"),
    parser(quantities.Price): st.integers(0, 500).map(lambda n: f"${n / 100}/h"),
    parser(quantities.Rate): st.integers(1, 400).map(lambda n: f"{n}/s"),
    parser(quantities.RateOrZero): st.integers(0, 400).map(lambda n: f"{n}/s"),
    parser(quantities.Share): st.integers(0, 100).map(lambda n: f"{n}%"),
    parser(quantities.Warmup): st.one_of(st.just("auto"), DURATION),
}


def choices(family: type[Component]) -> list[type[Component]]:
    """Every registered choice of a family that runs by value."""
    by_value = {"arrivals": Process, "service": Law, "sizes": SizeLaw, "speed": SpeedLaw}
    base = by_value.get(family.family, family)
    return [choice for choice in family.choices.values() if issubclass(choice, base) and choice is not Manifest]


@functools.cache  # a strategy that was asked before is checked no more, which takes as long as drawing
def instances(choice: type[Component]) -> st.SearchStrategy[Any]:
    """Random instances of one choice."""
    if choice in SPECIAL:
        return SPECIAL[choice]()
    made = st.fixed_dictionaries(fields(choice)).map(lambda data: valid(choice, _agreeing(choice, data)))
    return made.filter(lambda found: found is not None)


def _agreeing(record: type[Record], data: dict[str, Any]) -> dict[str, Any]:
    """Fields that only make sense together: a size and what is said of it, values and their weights."""
    if "size" in record.model_fields:
        absent, present = {"per_unit": "0ms", "max_total": None, "padded": False}, {"per_unit": "1ms", "max_total": 9}
        if data.get("size") is None:
            data = {name: absent.get(name, value) for name, value in data.items()}
        else:
            needed = {name: value for name, value in present.items() if name in record.model_fields}
            data |= {name: value for name, value in needed.items() if data.get(name, absent[name]) == absent[name]}
    if "per_unit" in record.model_fields and data.get("per_request", "0ms") == data.get("per_unit", "0ms") == "0ms":
        data["per_request"] = "5ms"
    if "values" in data and data.get("weights"):
        data["weights"] = [*data["weights"], *[1.0] * len(data["values"])][: len(data["values"])]
    return data


def valid(record: type[Record], data: dict[str, Any]) -> Any:
    """The record, or None where its fields contradict each other, such as a maximum below its minimum."""
    try:
        return record.model_validate(data)
    except ValueError:
        return None


def fields(record: type[Record], but: tuple[str, ...] = ()) -> dict[str, st.SearchStrategy[Any]]:
    """What users may write in each field of a record or a choice, its kind and some others apart."""
    known = {name: values for name, values in NAMED.items() if name in record.model_fields} | GIVEN.get(record, {})
    given = {name: values for name, values in known.items() if name not in but}
    left = {name: field for name, field in record.model_fields.items() if name not in ("kind", *but, *given)}
    return given | {name: _plain(field.annotation, field.metadata) for name, field in left.items()}


@functools.cache
def written(record: type[Record], but: tuple[str, ...] = ()) -> st.SearchStrategy[Any]:
    """What users may write for a record or a choice: now and then they leave out what may be left out."""
    found = fields(record, but)
    parts = [(name, field.is_required(), found[name]) for name, field in record.model_fields.items() if name in found]
    kind = {"kind": record.model_fields["kind"].default} if issubclass(record, Component) else {}

    @st.composite
    def data(draw: st.DrawFn) -> dict[str, Any]:
        return kind | _agreeing(
            record, {name: draw(values) for name, needed, values in parts if needed or draw(EITHER)}
        )

    if not kind:
        return data()
    made = data().filter(lambda found: valid(record, found) is not None)
    return made.map(lambda found: found if len(found) > 1 else found["kind"])


@st.composite
def any_written(draw: st.DrawFn, family: type[Component]) -> Any:
    """What users may write for a choice of a family, of those that are registered when it is drawn."""
    return draw(_one_of(tuple(family.choices.values())))


@functools.cache
def _one_of(registered: tuple[type[Component], ...]) -> st.SearchStrategy[Any]:
    return st.one_of(*(written(choice) for choice in registered if choice not in SPECIAL))


def is_duration(field: FieldInfo) -> bool:
    """Whether a field holds nanoseconds."""
    inner = (mark for part in typing.get_args(field.annotation) for mark in typing.get_args(part)[1:])
    marks = [*field.metadata, *inner]
    return any(isinstance(mark, PlainSerializer) and mark.func is quantities.format_duration for mark in marks)


def _plain(annotation: Any, marks: list[Any]) -> st.SearchStrategy[Any]:
    for mark in marks:
        if isinstance(mark, BeforeValidator):
            if mark.func not in QUANTITIES:
                raise NotImplementedError(f"nothing is known of what {mark.func} reads: add it to tests/choices.py")
            return QUANTITIES[mark.func]
    origin = typing.get_origin(annotation)
    if origin is Literal:
        return st.sampled_from(typing.get_args(annotation))
    if origin in (Union, types.UnionType):
        return st.one_of(*(_plain(part, marks) for part in typing.get_args(annotation)))
    if annotation is type(None):
        return st.none()
    if origin is Annotated:
        parts = [mark.metadata if isinstance(mark, FieldInfo) else [mark] for mark in annotation.__metadata__]
        return _plain(annotation.__origin__, [mark for part in parts for mark in part])
    if origin is tuple:
        return _tuple(typing.get_args(annotation)[0], marks)
    if annotation is Step:
        return steps()
    if annotation is StockOut:
        return stock_outs()
    if isinstance(annotation, type) and issubclass(annotation, Component):
        return any_written(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return written(annotation)
    return _scalar(annotation, marks)


def _tuple(part: Any, marks: list[Any]) -> st.SearchStrategy[Any]:
    fewest = max((mark.min_length for mark in marks if isinstance(mark, at.MinLen)), default=0)
    if isinstance(part, type) and issubclass(part, Record):
        return st.lists(_plain(part, []), min_size=fewest, max_size=fewest + 3)
    return st.lists(_plain(part, []), min_size=fewest, max_size=4, unique=True).map(sorted)


def _scalar(annotation: Any, marks: list[Any]) -> st.SearchStrategy[Any]:
    low: Any = 0
    high: Any = float("inf")
    for mark in marks:
        if isinstance(mark, at.Ge):
            low = mark.ge
        elif isinstance(mark, at.Gt):
            low = mark.gt
        elif isinstance(mark, at.Le):
            high = mark.le
    if annotation is str:
        fewest = max((mark.min_length for mark in marks if isinstance(mark, at.MinLen)), default=0)
        return st.text(TEXT, min_size=fewest, max_size=fewest + 8)
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


def _sized_tables() -> st.SearchStrategy[Any]:
    table = Component.families["service"].choices["sized_table"]

    def build(flat: Any, sizes: list[int]) -> Any:
        slopes = np.array([1 + 0.1 * size for size in sizes])
        work = np.ceil(flat.work_ns[:, np.newaxis, :] * slopes[:, np.newaxis])
        fields = {"levels": flat.levels, "work_ns": work, "sizes": np.array(sizes)}
        return table.model_validate({"name": "t", "level": "assumed", "size": TOKENS, **fields})

    return st.builds(build, _tables(), st.sampled_from([[1, 4], [2, 3, 9]]))


def _speeds(lasts: str) -> st.SearchStrategy[Any]:
    stays = st.lists(st.tuples(st.sampled_from([0, 0.3, 1, 2]), POSITIVE_DURATION), min_size=1, max_size=4)
    return stays.map(lambda found: [{"speed": speed, lasts: stay} for speed, stay in [(1, "10ms"), *found]])


@st.composite
def _reads(draw: st.DrawFn, signals: Iterable[str]) -> dict[str, Any]:
    """A metric of one of these signals."""
    found: dict[str, Any] = draw(written(Metric)) | {"signal": draw(st.sampled_from(sorted({*signals} - {"kv_cache"})))}
    return found if found["signal"] == "latency" else found | {"quantile": None}


@st.composite
def _hpa_metrics(draw: st.DrawFn) -> list[dict[str, Any]]:
    """One or two metrics of any source and target, by names of their own."""
    found = []
    for name in draw(st.sampled_from([("cpu",), ("queue",), ("cpu", "queue")])):
        source, target = draw(st.sampled_from([(source, one) for source, given in TARGETS.items() for one in given]))
        signals = REPLICA_SIGNALS if source not in ("object", "external") else REPLICA_SIGNALS | POOL_SIGNALS
        reads = draw(_reads(signals))
        metric: dict[str, Any] = {"source": source, "name": name, "reads": reads}
        if source == "container_resource":
            metric["container"] = "server"
        if target == "utilization":
            metric |= {"utilization": draw(st.integers(1, 200)), "request": draw(st.sampled_from(["1", "300m"]))}
        else:
            metric[target] = draw(QUANTITIES[parser(Thousandths)])
        found.append(metric)
    return found


@st.composite
def _triggers(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A queue or the like, perhaps with the memory of each replica beside it."""
    reads = _reads(REPLICA_SIGNALS | POOL_SIGNALS)
    queue = {"name": "queue", "threshold": draw(QUANTITIES[parser(Thousandths)]), "reads": draw(reads)}
    queue |= {
        "metric_type": draw(st.sampled_from([None, "Value"])),
        "cached": draw(EITHER),
        "ignore_null": draw(EITHER),
    }
    if draw(EITHER):
        return [queue]
    own = draw(_reads(REPLICA_SIGNALS))
    memory = {"type": "memory", "name": "ram", "threshold": draw(st.integers(1, 200)), "request": "300m", "reads": own}
    return [queue, memory]


@st.composite
def _tracking(draw: st.DrawFn) -> list[dict[str, Any]]:
    """One or two policies of target tracking, on metrics of their own."""
    found = []
    for name in draw(st.sampled_from([(None,), ("busy", "load")])):
        policy = {**draw(written(Tracking)), "name": name, "period": None}
        for least, among in (("out_after", "out_of"), ("in_after", "in_of")):
            policy[least] = draw(st.integers(1, 4))
            policy[among] = draw(st.sampled_from([None, policy[least], policy[least] + 2]))
        found.append(policy)
    return found


@st.composite
def _step_policies(draw: st.DrawFn) -> list[dict[str, Any]]:
    """An alarm for more, and perhaps one for less, on one metric."""
    kind = draw(st.sampled_from(["ChangeInCapacity", "PercentChangeInCapacity", "ExactCapacity"]))
    sign = 1 if kind == "ExactCapacity" else -1
    watched = {"name": "steps", "reads": draw(written(Metric))}
    one, two = draw(st.integers(1, 50)), draw(st.integers(50, 200))
    more = [{"lower": 0, "upper": 1, "change": one}, {"lower": 1, "change": two}]
    found = [{**watched, "threshold": draw(st.floats(0, 3)), "comparison": ">=", "adjustment": kind, "steps": more}]
    if draw(EITHER):
        steps = [{"upper": 0, "change": sign * one}]
        found.append({**watched, "threshold": draw(st.floats(0, 1)), "comparison": "<", "steps": steps})
        found[-1] |= {"after": draw(st.integers(1, 3)), "among": 4, "adjustment": kind}
    return [policy | {"cooldown": draw(DURATION)} for policy in found]


@st.composite
def _sizes(draw: st.DrawFn) -> dict[str, Any]:
    """All sizes that are read, by one law of those that are registered and ask for no trace."""
    registered = Component.families["sizes"].choices
    laws = [registered[kind] for kind in ("constant", "lognormal", "empirical") if kind in registered]
    law = draw(st.one_of(*map(written, laws)))
    return {name: deepcopy(law) for name in (TOKENS, PROMPT, OUTPUT)}


def _choice(family: str, kind: str) -> type[Component]:
    return Component.families[family].choices[kind]


@st.composite
def _layer_steps(draw: st.DrawFn) -> Any:
    """Times of whole steps by few tokens, sequences and contexts."""
    times = st.integers(1, 9).map(MILLISECOND.__mul__)
    decoding = [(0, 0, decodes, context, draw(times)) for decodes in (1, 4) for context in (2, 9)]
    beside = [(3, 0, 2, 5, draw(times))] if draw(EITHER) else []
    table = LayerTable(
        tokens=np.array([1, 8]),
        dense=np.array([draw(times), draw(times)]),
        sequences=np.array([1, 3]),
        sampling=np.array([draw(times), draw(times)]),
        attention=np.array([*decoding, *beside, (2, 0, 0, 0, draw(times)), (6, 4, 0, 0, draw(times))]),
        skew=draw(st.sampled_from([(), ((2, 0.5),)])),
        largest_graph=draw(st.sampled_from([0, 8])),
    )
    jitter = draw(st.sampled_from([None, {"cv": 0.3}]))
    return _choice("service", "layer_table").model_validate({"level": "published", "table": table, "jitter": jitter})


@st.composite
def _fitted_steps(draw: st.DrawFn) -> Any:
    """A law of steps that takes milliseconds."""
    numbers = [draw(st.floats(1e5, 1e7)), *(draw(st.floats(0, most)) for most in (1e6, 1e6, 1e4, 1e4))]
    form = draw(st.sampled_from(["sum", "roofline"]))
    content = {"name": "steps", "level": "measured", "form": form, "numbers": tuple(numbers)}
    return _choice("service", "fitted_steps").model_validate(content)


SPECIAL: dict[Any, Callable[[], st.SearchStrategy[Any]]] = {
    _choice("arrivals", "replay"): _replays,
    _choice("service", "table"): _tables,
    _choice("service", "sized_table"): _sized_tables,
    _choice("service", "layer_table"): _layer_steps,
    _choice("service", "fitted_steps"): _fitted_steps,
    _choice("service", "llm_layers"): st.nothing,
    _choice("sizes", "joint"): st.nothing,
    _choice("sizes", "replayed"): st.nothing,
    _choice("speed", "profile"): st.nothing,
    _choice("autoscaler", "manifest"): st.nothing,
}
"""Choices by value, which nobody writes, and those that ask for a file: a trace which tells the sizes of its requests,
a profile which tells of its host, tables of layers, a manifest."""
NAMED: dict[str, st.SearchStrategy[Any]] = {
    "per_request": st.integers(0, 40).map(lambda n: f"{n}ms"),
    "per_unit": st.integers(0, 3).map(lambda n: f"{n}ms"),
    "size": st.sampled_from([None, TOKENS]),
    "data_parallel_size": st.sampled_from([1, 1, 1, 2, 3]),
    "kv_tokens_on": st.dictionaries(st.sampled_from(NAMES[:2]), st.integers(1, 12), max_size=2),
}
"""Fields, by name, of which few values are of use."""
GIVEN: dict[Any, dict[str, st.SearchStrategy[Any]]] = {
    Limits: {
        "shed": st.dictionaries(st.sampled_from(NAMES), st.integers(0, 5), max_size=2),
        "rates": st.dictionaries(st.sampled_from(NAMES), st.deferred(lambda: written(Allowance)), max_size=2),
    },
    Workload: {
        "items": st.sampled_from([None, None, 1, 2]),
        "sizes": st.deferred(lambda: _sizes()),
        "prompts": st.sampled_from([None, *map(Prompts.model_dump, PROMPTS)]),
        "adapter": st.sampled_from([None, "a", "b"]),
    },
    EngineFrontEnd: {name: st.sampled_from(["0ms", "0.09ms", "3ms"]) for name in EngineFrontEnd.model_fields},
    Speculation: {"tokens": st.integers(1, 3), "draft": st.sampled_from(["0ms", "0.2ms", "3ms"])},
    Adapters: {"max_loras": st.integers(1, 2), "load": st.sampled_from(["0ms", "0.2ms", "3ms"])},
    EngineHost: {name: st.sampled_from(["0ms", "0.2ms", "3ms"]) for name in EngineHost.model_fields},
    Retries: {"limit": st.integers(1, 4)},  # waits get longer and longer, and faults go on meanwhile
    KvTransfer: {"per_token": st.sampled_from(["1KiB", "128KiB", "2MB"])},
    Transfer: {"payload": st.sampled_from(["0B", "300KiB", "40MB"])},
    Metric: {"signal": st.sampled_from(sorted((REPLICA_SIGNALS | POOL_SIGNALS).keys() - {"kv_cache"}))},  # of engines
    HpaController: {"sync": st.integers(20, 60).map(lambda n: f"{n}ms")},  # it remembers each within its windows
    Pool: {"zones": st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)},
    Model: {"memory": st.integers(1, 1023).map(lambda size: f"{size}MiB")},
    Variant: {"memory": st.one_of(st.none(), st.integers(1, 1023).map(lambda size: f"{size}MiB"))},
    ClusterAutoscaler: {"give_up": st.just("500ms")},
    Run: {"duration": st.integers(200, 800).map(lambda time: f"{time}ms")},
    _choice("arrivals", "trace"): {
        "file": st.just(str(LIBRARY / "evening-rush.csv.gz")),
        "only": st.just({}),
        "session": st.none(),
        "start": st.sampled_from(["0s", "7.5m"]),
        "until": st.sampled_from([None, "10m"]),
        "format": st.just("csv"),
        "column": st.sampled_from([None, "timestamp_s"]),
    },
    _choice("autoscaler", "hpa"): {
        "min_replicas": st.integers(1, 4),  # at zero requests may wait for ever
        "metrics": _hpa_metrics(),
    },
    _choice("autoscaler", "keda"): {
        "min_replicas": st.integers(1, 4),  # at zero requests may wait for ever
        "idle_replicas": st.sampled_from([None, 1]),
        "paused_replicas": st.sampled_from([None, 2]),
        "triggers": _triggers(),
        "modifiers": st.sampled_from([None, {"formula": "queue > 2 ? 2 * queue : 1 / queue", "target": "2"}]),
    },
    _choice("autoscaler", "knative"): {
        "min_replicas": st.integers(1, 4),  # at zero requests may wait for ever
        "container_concurrency": st.sampled_from([0, 0, 100]),
        "target": st.sampled_from([None, 0.5, 3]),
        "window": st.sampled_from(["6s", "60s"]),
        "scale_down_delay": st.sampled_from(["0s", "5s"]),
        "target_burst_capacity": st.sampled_from([-1, 0, 5.5, 211]),
    },
    _choice("autoscaler", "predictive"): {
        "min_replicas": st.integers(1, 4),  # at zero requests may wait for ever
        "interval": st.just("20ms"),
        "window": st.sampled_from(["40ms", "100ms"]),
        "season": st.sampled_from([None, "200ms"]),
        "level": st.sampled_from([0.5, 0.9, 0.99]),
    },
    _choice("autoscaler", "ray"): {
        "min_replicas": st.integers(1, 4),  # at zero requests may wait for ever
        "max_replicas": st.integers(4, 9),
        "initial_replicas": st.sampled_from([None, 4]),
        "target_capacity": st.sampled_from([None, 50.0]),
        "gang_size": st.sampled_from([1, 1, 2]),
    },
    _choice("autoscaler", "schedule"): {
        "replicas": st.integers(1, 4),
        "steps": st.sampled_from([[], [{"at": "50ms", "replicas": 3}, {"at": "300ms", "replicas": 1}]]),
        "daily": st.sampled_from([[], [{"start": "22:00", "end": "01:30", "replicas": 2, "days": "weekdays"}]]),
    },
    _choice("autoscaler", "step_scaling"): {
        "min_replicas": st.integers(1, 4),  # at zero requests may wait for ever
        "policies": _step_policies(),
        "instance_warmup": st.one_of(st.none(), DURATION),
    },
    _choice("autoscaler", "target_tracking"): {
        "min_replicas": st.integers(1, 4),  # at zero nothing is known
        "policies": _tracking(),
        "steps": st.one_of(st.just([]), _step_policies()),
        "instance_warmup": st.one_of(st.none(), DURATION),
    },
    _choice("batching", "continuous"): {
        "kv_tokens": st.integers(24, 200),
        "block_size": st.integers(1, 6),
        "max_num_seqs": st.integers(1, 6),
        "max_num_batched_tokens": st.integers(6, 40),
        "watermark": st.integers(0, 1),
    },
    _choice("batching", "sglang"): {
        "kv_tokens": st.integers(24, 200),
        "page_size": st.integers(1, 4),
        "max_running_requests": st.integers(1, 6),
        "chunked_prefill_size": st.sampled_from([-1, 6, 20]),
        "max_prefill_tokens": st.integers(1, 30),
    },
    _choice("batching", "tensorrt_llm"): {
        "kv_tokens": st.integers(24, 200),
        "tokens_per_block": st.integers(1, 6),
        "max_batch_size": st.integers(1, 6),
        "max_num_tokens": st.integers(12, 40),
    },
    _choice("batching", "transformers"): {
        "kv_tokens": st.integers(24, 200),
        "page_size": st.integers(4, 6),
        "max_requests_per_batch": st.integers(1, 6),
        "max_batch_tokens": st.integers(6, 40),
    },
    _choice("fault", "metrics_outage"): {"metrics": st.none()},  # each autoscaler has names of its own
    _choice("fault", "zone_outage"): {"zone": st.just("a")},
    _choice("service", "profile"): {
        "profile": st.sampled_from(sorted(shipped_profiles())),
        "threads": st.none(),
        "size": st.none(),
    },
    _choice("sharing", "shared"): {
        "efficiency": st.lists(st.sampled_from([0.7, 1, 1.4, 2.1]), max_size=3).map(lambda more: [1, *more])
    },
    _choice("sharing", "slices"): {"share": st.sampled_from([None, 0.2, 0.33]), "efficiency": st.floats(0.5, 2)},
    _choice("speed", "constant"): {"speed": st.floats(0.25, 3)},
    _choice("speed", "trace"): {"course": _speeds("lasts")},
    _choice("speed", "markov"): {"states": _speeds("mean")},
}
"""Fields that know more than their bounds."""
MACHINE = InstanceType.model_validate({"price": "$1/h", "cores": 1, "memory": "1GiB"})


def any_of(family: type[Component]) -> st.SearchStrategy[Any]:
    """Random instances of all choices of a family."""
    return _any_of(tuple(choices(family)))


@functools.cache
def _any_of(registered: tuple[type[Component], ...]) -> st.SearchStrategy[Any]:
    return st.one_of(*(instances(choice) for choice in registered))


def open_arrivals() -> st.SearchStrategy[Any]:
    """Random arrivals that do not depend on the answers."""
    return any_of(Component.families["arrivals"]).filter(lambda found: not found.answered)


@st.composite
def steps(draw: st.DrawFn) -> Any:
    """A random step of a start, as users write it."""
    time = st.integers(1, 40)
    if draw(EITHER):
        return draw(DURATION)
    hit = {"hit": draw(QUANTITIES[parser(quantities.Share)])}
    if draw(EITHER):
        return hit | {"mean": f"{draw(time)}ms", "spread": draw(st.sampled_from(SPREADS))}
    median = draw(time)
    return hit | {"median": f"{median}ms", "p95": f"{median + draw(time)}ms"}


@st.composite
def stock_outs(draw: st.DrawFn) -> dict[str, Any]:
    """A random stock-out, as users write it."""
    begins = {"at": draw(DURATION)} if draw(EITHER) else {"every": draw(POSITIVE_DURATION)}
    return {"zone": draw(st.sampled_from([None, "a"])), **begins, "lasts": draw(POSITIVE_DURATION)}


def supplied(draw: st.DrawFn, found: list[Serving]) -> list[Serving]:
    """The same pools, or with machines from one supply that has room for those they begin with."""
    if draw(EITHER) or any(isinstance(one.pool.autoscaler, PerRequest) for one in found):
        return found
    rules = Supply.model_validate(draw(written(Supply)))
    if rules.quota is not None:
        # Where machines die, a pool might wait for ever for one that another has taken meanwhile.
        dies = any(one.pool.faults for one in found)
        least = sum(machines_for(one.pool, one.pool.most() if dies else one.pool.replicas) for one in found)
        rules = rules.model_copy(update={"quota": least + draw(st.integers(0, 2))})
    supply = CaseSupply("shared", rules)
    after = draw(st.integers(0, 60)) * MILLISECOND
    other = Kind("other", MACHINE, draw(st.sampled_from([0.4, 1.7])))
    place = Fallback.model_construct(zone=draw(st.sampled_from([None, "z"])), after=after)
    fallback = draw(st.sampled_from([(), (CaseFallback(place, other),)]))
    return [one.changed(supply=supply, fallback=fallback) for one in found]


@st.composite
def starts(draw: st.DrawFn) -> Start | None:
    """None, or a random start: some of its steps, of which a machine may keep some."""
    if draw(EITHER):
        return None
    found = {name: draw(steps()) for name in ("provision", "image", "weights", "warm_up", "endpoint") if draw(EITHER)}
    for name in found.keys() & {"image", "weights"}:
        if isinstance(found[name], dict):
            found[name] = found[name] | {"kept": draw(EITHER)}
    quick = {"period": f"{draw(st.integers(1, 40))}ms", "successes": draw(st.integers(1, 3))}
    probe = {"probe": draw(written(Probe)) | quick} if draw(EITHER) else {}
    return Start.model_validate({**found, **probe})


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
    """Clients who wait for answers do not leave the queue, and those who do anyway need no bound."""
    if fields["arrivals"].answered:
        fields["max_concurrency"] = None
    if fields["retries"] is not None or fields["arrivals"].answered or fields["max_concurrency"] is not None:
        fields["impatience"] = None
    return CaseWorkload(**fields)


def slow_starts() -> st.SearchStrategy[SlowStart | None]:
    """None, or a random slow start."""
    found = st.tuples(st.integers(1, 200), st.floats(0.01, 1))
    return st.one_of(
        st.none(), found.map(lambda one: SlowStart.model_validate({"lasts": f"{one[0]}ms", "speed": one[1]}))
    )


def _faults(plain: bool, autoscaler: Autoscaler) -> st.SearchStrategy[Any]:
    """None as often as one or two; those of the control plane where something is decided."""
    if plain:
        return st.just(())
    decides = autoscaler.period() is not None
    some = any_of(Fault).filter(lambda fault: decides or not isinstance(fault, ControllerRestart | MetricsOutage))
    return st.one_of(st.just(()), st.lists(some, min_size=1, max_size=2).map(tuple))


@st.composite
def machines(draw: st.DrawFn, replicas: int) -> dict[str, Any]:
    """The fields of a random pool that speak of machines; the quota holds so many replicas."""
    each = draw(st.integers(1, 3))
    fewest = max(1, -(-replicas // each))
    quota = draw(st.one_of(st.none(), st.integers(fewest, fewest + 2)))
    return {
        "per_machine": each,
        "placement": "pack" if quota is None else draw(st.sampled_from(["pack", "spread"])),
        "quota": quota,
        "zones": draw(st.sampled_from([("a",), ("a", "b"), ("a", "b", "c")])),
        "cold_start_spread": draw(st.sampled_from(SPREADS)),
        "load_time": draw(st.integers(0, 60)) * MILLISECOND,
        "start": draw(starts()),
    }


def matching(family: type[Component], choice: type, wanted: bool) -> st.SearchStrategy[Any]:
    """Random instances of the choices of a family that are of a class, or of those that are not."""
    return st.one_of(*(instances(one) for one in choices(family) if issubclass(one, choice) == wanted))


def _without_queue() -> st.SearchStrategy[Any]:
    return st.one_of(*(instances(one) for one in choices(Batching) if issubclass(one, Batching) and not one.own_queue))


@st.composite
def pools(draw: st.DrawFn, /, name: str, **fixed: Any) -> Serving:
    """A random pool and its law; `fixed` holds the choices that are given."""
    scalers = any_of(Autoscaler)
    if "batching" in fixed or "balancer" in fixed:  # which scaling per request leaves no choice of
        scalers = scalers.filter(lambda found: not isinstance(found, PerRequest))
    if any(isinstance(fault, ControllerRestart | MetricsOutage) for fault in fixed.get("faults", ())):
        scalers = scalers.filter(lambda found: found.period() is not None)
    autoscaler = fixed.get("autoscaler") or draw(scalers)
    low, high = autoscaler.bounds(draw(st.integers(1, 6)))
    if isinstance(autoscaler, PerRequest):
        fixed = {**fixed, "batching": NoBatching(), "balancer": RoundRobin()}
    batching = fixed.get("batching") or draw(any_of(Batching))
    law = fixed.get("service") or draw(any_of(Component.families["service"]))
    if isinstance(batching, LlmEngine) != isinstance(law, Steps):
        if "service" in fixed and not ("batching" in fixed or isinstance(autoscaler, PerRequest)):
            batching = draw(matching(Batching, LlmEngine, isinstance(law, Steps)))
        else:
            law = draw(matching(Component.families["service"], Steps, isinstance(batching, LlmEngine)))
    discipline = fixed.get("discipline") or draw(st.one_of(st.just(FirstCome()), any_of(Discipline)))
    if isinstance(autoscaler, PerRequest):
        discipline = FirstCome()
    if batching.own_queue and discipline != FirstCome():
        if "batching" in fixed or isinstance(law, Steps):
            discipline = FirstCome()
        else:
            batching = draw(_without_queue())
    balancers = any_of(Balancer)
    if batching.own_queue:
        balancers = balancers.filter(lambda found: not found.shared_queue)
    balancer = fixed.get("balancer") or draw(balancers)
    if balancer.shared_queue and batching.own_queue:
        batching = draw(_without_queue())
        law = draw(matching(Component.families["service"], Steps, wanted=False))
    largest = law.largest_batch()
    if largest is not None and batching.largest() > largest:
        laws = matching(Component.families["service"], Steps, wanted=False)
        law = draw(laws.filter(lambda found: found.largest_batch() is None))
    replicas = draw(st.integers(low, min(high, low + 5)))
    made = CasePool(
        name=name,
        instance="box",
        machine=MACHINE,
        replicas=replicas,
        balancer=balancer,
        batching=batching,
        autoscaler=autoscaler,
        cold_start=draw(st.integers(0, 300)) * MILLISECOND,
        limits=None if fixed.get("plain") else draw(st.one_of(st.none(), limits())),
        instances=1
        if isinstance(autoscaler, PerRequest) or isinstance(batching, LlmEngine)
        else draw(st.integers(1, 3)),
        speed=fixed.get("speed") or draw(any_of(Speed)),
        sharing=Separate() if isinstance(batching, LlmEngine) else fixed.get("sharing") or draw(any_of(Sharing)),
        grace=None if fixed.get("plain") else draw(st.one_of(st.none(), st.integers(0, 60).map(MILLISECOND.__mul__))),
        slow_start=None if fixed.get("plain") else draw(slow_starts()),
        faults=fixed.get("faults") or draw(_faults(fixed.get("plain", False), autoscaler)),
        **draw(machines(max(low, replicas))),
        victims=draw(st.sampled_from(["placement", "kubernetes"])),
        discipline=discipline,
    )
    return Serving(made, law)


def _sized(arrivals: Process, sizes: SizeLaw | None) -> st.SearchStrategy[dict[str, Any]]:
    """Arrivals, with sizes that may be those of a replay."""
    laws = [instances(law) for law in choices(Sizes) if law is not ReplayedSizes]
    if isinstance(arrivals, Replay):
        laws.append(st.just(ReplayedSizes(values=np.arange(len(arrivals.times)) % 7, arrivals=arrivals)))
    found = st.one_of(*laws) if sizes is None else st.just(sizes)
    talks = isinstance(arrivals, InTurns) or (isinstance(arrivals, Closed) and arrivals.turns is not None)
    begins = [None, *(prompts for prompts in PROMPTS if talks or not prompts.history)]
    return st.tuples(found, st.sampled_from(begins)).map(
        lambda drawn: {
            "arrivals": arrivals,
            "sizes": tuple((name, drawn[0]) for name in (TOKENS, PROMPT, OUTPUT)),
            **_begins(drawn[0], drawn[1]),
        }
    )


def _begins(law: SizeLaw, prompts: Prompts | None) -> dict[str, Any]:
    """What prompts begin with: hashes or sessions, where a trace tells their sizes and they have anything in common."""
    if prompts is None or not isinstance(law, ReplayedSizes):
        return {"prompts": prompts}
    if len(law.values) % 2:
        talks = Talks.of(np.arange(len(law.values)) % 3, law.values, law.values, law.arrivals)
        return {"prompts": Prompts(shared=2, history=True), "talks": talks}
    rows = [[number % 2] * (number % 4) for number in range(len(law.values))]
    ends = np.cumsum([0, *(len(row) for row in rows)])
    chains = Chains(np.array([one for row in rows for one in row], dtype=np.int64), ends)
    return {"prompts": Prompts(hashes=2), "hashed": Hashed.of(chains, law.values, 2, law.arrivals)}


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

    `plain=True` leaves out limits, retries, closed loops and faults: all that is sent stands on the tape beforehand.
    """
    plain = fixed.get("plain", False)
    leaving = st.one_of(st.none(), st.none(), impatience())
    arrivals = open_arrivals() if plain else any_of(Component.families["arrivals"])
    found = [draw(pools("first", **fixed))]
    if draw(st.booleans()):
        found.append(draw(pools("second", **fixed)))
    if not plain and "autoscaler" not in fixed:
        found = supplied(draw, found)
    timeout = st.one_of(st.none(), st.integers(20, 400).map(lambda n: n * MILLISECOND))
    ways = st.sampled_from([0, 0, 3 * MILLISECOND])
    stages = chain(*found)
    if not any(isinstance(one.service, Steps) for one in found) and draw(st.booleans()):
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
            max_concurrency=None if plain else draw(st.one_of(st.none(), st.none(), st.integers(1, 8))),
            reply=draw(ways),
            priority=draw(st.integers(0, 3)),
            deadline=draw(st.one_of(st.none(), st.integers(1, 100).map(lambda n: n * MILLISECOND))),
            weight=draw(st.integers(1, 4)),
            items=draw(st.one_of(st.none(), items(most))),
            adapter=draw(st.sampled_from([None, "a", "b"])),
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
        spread: Spread = draw(st.sampled_from(SPREADS))
        found = CaseStage(name, stage.pool, stage.service, after, network, transfer, overhead)
        yield replace(found, network_spread=spread)
