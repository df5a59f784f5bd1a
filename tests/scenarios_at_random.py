"""Random whole scenarios, as users would write them: derived from the fields of `Scenario` and its records.

Written here is only what one part must know of another: names, and what fits into what.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from choices import NAMES, any_written, valid, written
from hypothesis import assume, note
from hypothesis import strategies as st
from pydantic import TypeAdapter

from scenarios.load import Loaded, validate
from scenarios.lookup import Files
from scenarios.yamlfile import format_yaml
from simulator.autoscaling import Autoscaler
from simulator.batching import Batching, LlmEngine
from simulator.errors import InputError
from simulator.llm.service import OUTPUT, PROMPT, LlmRoofline, Steps
from simulator.model import KvTransfer, Model, Stage
from simulator.runs import Run
from simulator.scenario import InstanceType, Pool, Scenario
from simulator.service import Service
from simulator.supply import Supply
from simulator.variant import Variant
from simulator.workload import Workload

FILES = Files(Path())
MACHINES = NAMES[:2]
_AUTOSCALER: TypeAdapter[Autoscaler] = TypeAdapter(Autoscaler)
_HEAD = (
    "# Saved as FILE, `headroom run FILE` simulates this, `python tests/laws_of.py FILE` holds it against the laws.\n"
)


class Written:
    """A scenario as plain data, and by value."""

    def __init__(self, data: dict[str, Any]) -> None:
        """Raises InputError."""
        self.data = data
        self.loaded = Loaded(validate(data), FILES, "scenario.yaml")
        self.case = self.loaded.case()

    def __repr__(self) -> str:
        return "..."  # it is noted

    def yaml(self) -> str:
        """The text that users would save."""
        return format_yaml(self.data)


class _Note:
    """What is shown of the simplest scenario that fails: made only then."""

    def __init__(self, found: Written) -> None:
        self.found = found

    def __repr__(self) -> str:
        return _HEAD + self.found.yaml()


def named(parts: list[Any]) -> dict[str, Any]:
    """Parts with names, by their order."""
    return dict(zip(NAMES, parts, strict=False))


@st.composite
def objectives(draw: st.DrawFn, workloads: list[str]) -> str:
    """A line of any of the four forms, of all workloads or one, at all times or in every window."""
    duration, share = f"{draw(st.integers(1, 500))}ms", f"{draw(st.integers(0, 1000)) / 10}%"
    heads = (f"mean(latency)<={duration}", f"p99.9(latency)<{duration}", f"rate(errors)<{share}")
    head = draw(st.sampled_from((*heads, f"attainment(latency<{duration})>={share}")))
    of = draw(st.sampled_from(["", *(f" per class={name}" for name in workloads)]))
    return head + of + draw(st.sampled_from(["", f" over {duration}"]))


def _values(values: list[int]) -> dict[str, Any]:
    return {"kind": "empirical", "values": values}


def _kind(choice: Any) -> Any:
    """Of a choice, with fields or without."""
    return choice["kind"] if isinstance(choice, dict) else choice


@st.composite
def pools(draw: st.DrawFn, machine: str) -> dict[str, Any]:
    """A pool on one machine, with as many replicas as its autoscaler allows, without what contradicts the rest."""
    pool = {"instance": machine, **draw(_POOL)}
    if "autoscaler" in pool:
        replicas = pool.get("replicas", 1)
        low, high = _AUTOSCALER.validate_python(pool["autoscaler"]).bounds(replicas)
        if not low <= replicas <= high:
            pool["replicas"] = min(max(low, replicas), high)
    if _is_engine(pool):
        _simplify(pool)
    if _kind(pool.get("balancer")) == "locality":
        pool["zones"] = list(NAMES[:2])
    while valid(Pool, pool) is None:
        less = [{name: pool[name] for name in pool if name != left} for left in pool if left != "instance"]
        pool = next((one for one in less if valid(Pool, one) is not None), less[-1])
    return pool


def _simplify(pool: dict[str, Any]) -> None:
    """Leaves out what an engine does not go with."""
    for name in ("discipline", "instances", "sharing"):
        pool.pop(name, None)
    if _kind(pool.get("balancer")) == "central_queue":
        del pool["balancer"]
    if _kind(pool.get("autoscaler")) == "per_request":
        del pool["autoscaler"]


def _is_engine(pool: dict[str, Any]) -> bool:
    """Whether a pool is of LLM engines."""
    return _kind(pool.get("batching")) in _ENGINES


def match(draw: st.DrawFn, parts: dict[str, Any]) -> None:
    """Engines are served in steps, and only they are."""
    kinds = {kind for kind, choice in Service.choices.items() if not choice.by_value}
    steps = {kind for kind in kinds if issubclass(Service.choices[kind], Steps)}
    for name, pool in parts["pools"].items():
        if kinds == steps and not _is_engine(pool):
            pool["batching"] = draw(_ENGINE)
            _simplify(pool)
        engine = _is_engine(pool)
        for stage in (one for model in parts["models"].values() for one in model["stages"] if one["pool"] == name):
            for machine, service in stage["service"].items():
                if (_kind(service) in steps) != engine:
                    stage["service"][machine] = draw(_STEPS if engine else _BATCHES)
    for workload in parts["workloads"].values():
        pools = [parts["pools"][stage["pool"]] for stage in parts["models"][workload["model"]]["stages"]]
        if not any(_is_engine(pool) for pool in pools):
            workload.pop("prompts", None)
        if not any(_is_engine(pool) and pool["batching"].get("adapters") for pool in pools):
            workload.pop("adapter", None)


def choose(draw: st.DrawFn, parts: dict[str, Any]) -> None:
    """Some stages serve only some of the requests, by a size that their workloads tell."""
    for name, model in parts["models"].items():
        told = [set(one.get("sizes", {})) for one in parts["workloads"].values() if one["model"] == name]
        known = sorted(set.intersection(*told)) if told else []
        for stage in model["stages"][1:] if known else []:
            if draw(st.booleans()):
                size, sign = draw(st.sampled_from(known)), draw(st.sampled_from(("<", "<=", ">", ">=")))
                stage["only"] = f"{size} {sign} {draw(st.integers(1, 200))}"


def part(draw: st.DrawFn, parts: dict[str, Any]) -> None:
    """Some models are LLMs whose prompts are computed on one pool and answered on another."""
    if not Batching.choices.keys() >= _ENGINES or LlmRoofline not in Service.choices.values():
        return
    for name, model in parts["models"].items():
        every = [stage["pool"] for other in parts["models"].values() for stage in other["stages"]]
        answers = model["stages"][0]
        if any(every.count(stage["pool"]) > 1 for stage in model["stages"]) or not draw(_SELDOM):
            continue
        for stage in model["stages"][1:]:
            del parts["pools"][stage["pool"]]
        pool = parts["pools"][answers["pool"]]
        pool["batching"] = draw(_ENGINE)
        _simplify(pool)
        computes = {**answers, "name": "computes", "pool": f"{answers['pool']}-computes"}
        parts["pools"][computes["pool"]] = {**pool, "batching": draw(_ENGINE)}
        answers["after"], answers["kv_transfer"] = ["computes"], draw(_TRANSFER)
        model["stages"] = [computes, answers]
        for workload in (one for one in parts["workloads"].values() if one["model"] == name):
            workload["sizes"] = {**workload.get("sizes", {}), **{size: draw(_TOKENS) for size in (PROMPT, OUTPUT)}}


@st.composite
def stages(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A stage that names no pool yet, and its pool; of the other machine it may say how long it takes, or not."""
    machine, *others = draw(st.permutations(MACHINES))
    services = {name: draw(_SERVICE) for name in (machine, *others) if name == machine or draw(st.booleans())}
    stage = {"service": services, **draw(_STAGE)}
    if valid(Stage, {"pool": "any", **stage}) is None:
        del stage["network_spread"]
    return stage, draw(pools(machine))


def _unbounded(workload: dict[str, Any]) -> dict[str, Any]:
    """Leaves out what goes with arrivals that come whatever happens."""
    return {name: value for name, value in workload.items() if name not in ("max_concurrency", "impatience")}


_INSTANCE, _RUN, _SERVICE = written(InstanceType), written(Run), any_written(Service)
_STAGE, _POOL, _MODEL = (
    written(Stage, ("name", "pool", "service", "after", "only", "kv_transfer")),
    written(Pool, ("instance", "supply", "fallback")),
    written(Model, ("stages", "variants")),
)
_VARIANT = written(Variant)
_ENGINES = {kind for kind, choice in Batching.choices.items() if issubclass(choice, LlmEngine)}
_ENGINE = st.one_of(*(written(Batching.choices[kind]) for kind in sorted(_ENGINES)))
_STEPS = written(LlmRoofline)
_TRANSFER, _SELDOM = written(KvTransfer), st.sampled_from((False, False, True))
_TOKENS = st.one_of(st.integers(1, 300), st.lists(st.integers(1, 300), min_size=1, max_size=4).map(_values))
_BATCHES = _SERVICE.filter(lambda found: _kind(found) != "llm_roofline")
_MODELS = st.lists(st.lists(stages(), min_size=1, max_size=3), min_size=1, max_size=2)
_WORKLOAD = (
    written(Workload, ("model",))
    .map(lambda found: found if _kind(found["arrivals"]) not in ("agents", "closed", "sessions") else _unbounded(found))
    .filter(lambda found: valid(Workload, {"model": "any", **found}) is not None)
)
_WORKLOADS = st.lists(_WORKLOAD, min_size=1, max_size=3)
_REST = written(Scenario, ("workloads", "models", "pools", "supplies", "instances", "slos", "run", "seed"))
_SUPPLY = written(Supply)


def share(draw: st.DrawFn, parts: dict[str, Any]) -> None:
    """Some pools get their machines from one supply, which has room for those they begin with."""
    shared = {name: {**pool, "supply": "shared"} for name, pool in parts["pools"].items() if draw(st.booleans())}
    shared = {name: pool for name, pool in shared.items() if valid(Pool, pool) is not None}
    if not shared:
        return
    supply = draw(_SUPPLY)
    if supply.get("quota") is not None:
        supply["quota"] += sum(pool.get("replicas", 1) for pool in shared.values())
    for one in supply.get("stock_outs", ()):
        if not any(one["zone"] in pool.get("zones", ("a",)) for pool in shared.values()):
            one["zone"] = None
    if draw(st.booleans()):
        for pool in shared.values():
            (other,) = {*MACHINES} - {pool["instance"]}
            places: list[dict[str, Any]] = [{"zone": "z"}, {"instance": other, "speed": 0.5}]
            pool["fallback"] = [{"after": "20ms", **draw(st.sampled_from(places))}]
    parts["pools"] |= shared
    parts["supplies"] = {"shared": supply}


@st.composite
def scenarios(draw: st.DrawFn) -> Written:
    """A valid scenario, a fraction of a second long; the simplest that fails is shown as YAML."""
    parts: dict[str, Any] = {"workloads": {}, "models": {}, "pools": {}}
    for name, steps in named(draw(_MODELS)).items():
        parts["models"][name] = {**draw(_MODEL), "stages": []}
        for number, (stage, pool) in enumerate(steps):
            shared = [
                known
                for known, other in parts["pools"].items()
                if other["instance"] in stage["service"] and not _is_engine(other)
            ]
            chosen = draw(st.sampled_from([NAMES[len(parts["pools"])], *shared]))
            parts["pools"].setdefault(chosen, pool)
            earlier = st.lists(st.sampled_from(NAMES[: max(number, 1)]), unique=True, max_size=number)
            after = draw(st.one_of(st.none(), earlier))
            waits = {} if after is None else {"after": sorted(after)}
            parts["models"][name]["stages"].append({"name": NAMES[number], "pool": chosen, **stage, **waits})
        served = sorted({kind for stage in parts["models"][name]["stages"] for kind in stage["service"]})
        parts["models"][name]["variants"] = draw(st.dictionaries(st.sampled_from(served), _VARIANT, max_size=2))
    for name, workload in named(draw(_WORKLOADS)).items():
        parts["workloads"][name] = {"model": draw(st.sampled_from(list(parts["models"]))), **workload}
    for pool in parts["pools"].values():
        for by_workload in ("shed", "rates"):
            limited = (pool.get("limits") or {}).get(by_workload, {})
            for name in limited.keys() - parts["workloads"].keys():
                del limited[name]
    choose(draw, parts)
    part(draw, parts)
    match(draw, parts)
    share(draw, parts)
    parts["instances"] = {name: draw(_INSTANCE) for name in MACHINES}
    parts["slos"] = draw(st.lists(objectives(list(parts["workloads"])), max_size=3))
    parts["run"] = {"duration": "500ms", **draw(_RUN)}
    parts["seed"] = draw(st.integers(0, 2**63 - 1))
    data = {**draw(_REST), **parts}
    try:
        made = Written(data)
    except InputError:
        assume(False)  # parts that contradict each other, such as a batch that is larger than any that was measured
    note(_Note(made))  # an object is shown by its repr, which is made only when it is
    return made
