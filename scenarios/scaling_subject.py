"""Which autoscaler of a scenario is looked at, and another one put in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from scenarios.load import Loaded
from scenarios.manifests import bind, read
from scenarios.yamlfile import read_yaml
from simulator.autoscaling import Autoscaler, Fixed, Manifest, PerRequest
from simulator.component import problems
from simulator.errors import InputError, suggestion
from simulator.scenario import Scenario


@dataclass(frozen=True)
class Subject:
    """A scenario whose autoscaler is looked at."""

    loaded: Loaded
    pool: str
    name: str
    """What the autoscaler is called, such as `HorizontalPodAutoscaler default/llm`."""
    remarks: tuple[str, ...] = ()
    """What was noticed of its manifest."""

    @property
    def number(self) -> int:
        """The position of the pool."""
        return list(self.loaded.scenario.pools).index(self.pool)

    @property
    def autoscaler(self) -> Autoscaler:
        """The one that is looked at, as the scenario has it."""
        return self.loaded.scenario.pools[self.pool].autoscaler


def own(loaded: Loaded, pool: str | None = None) -> Subject:
    """The scenario's own autoscaler. Raises InputError where it is not clear which."""
    name = chosen(loaded.scenario, pool)
    autoscaler = loaded.scenario.pools[name].autoscaler
    kind = autoscaler.file if isinstance(autoscaler, Manifest) else autoscaler.model_dump()["kind"]
    if kind == Fixed().kind:
        fix = "give a manifest with -f, or another pool with --pool"
        raise InputError("has no autoscaler", file=loaded.file, path=f"pools.{name}.autoscaler", fix=fix)
    return Subject(loaded, name, f"{kind} of {name}")


def from_files(
    loaded: Loaded,
    sources: Sequence[str | Path],
    bindings: Mapping[str, str],
    name: str | None = None,
    pool: str | None = None,
) -> Subject:
    """The autoscaler of files, where the command runs or beside the scenario, in the place of the pool's own.

    Raises InputError.
    """
    autoscaler, called, remarks = named(beside(loaded, sources), bindings, name)
    placed = place(loaded, chosen(loaded.scenario, pool), autoscaler, called)
    return Subject(placed.loaded, placed.pool, placed.name, (*remarks, *placed.remarks))


def beside(loaded: Loaded, sources: Sequence[str | Path]) -> list[str | Path]:
    """Files as they are named, or those of these names beside the scenario."""
    places = [(source, loaded.files.folder / source) for source in sources]
    return [
        place if str(source) != "-" and not Path(source).exists() and place.exists() else source
        for source, place in places
    ]


def named(
    sources: Sequence[str | Path], bindings: Mapping[str, str], name: str | None = None
) -> tuple[Autoscaler, str, tuple[str, ...]]:
    """The autoscaler of manifests, or of one file that holds it as scenarios write it; its name, and remarks.

    Raises InputError.
    """
    written = _as_scenarios_write_it(sources)
    if written is not None:
        return written, Path(sources[0]).name, ()
    bound = bind(read(sources), bindings, name)
    return bound.autoscaler, bound.source, bound.remarks


def _as_scenarios_write_it(sources: Sequence[str | Path]) -> Autoscaler | None:
    """The autoscaler of a file such as `{kind: hpa, max_replicas: 10}`; None where it is a manifest."""
    if len(sources) != 1 or sources[0] == "-" or not Path(sources[0]).is_file():
        return None
    try:
        data = read_yaml(Path(sources[0]))
    except InputError:
        return None  # such as several documents: whoever reads manifests says what is wrong
    if not isinstance(data, dict) or "apiVersion" in data or data.get("kind") not in Autoscaler.written():
        return None
    try:
        found: Autoscaler = TypeAdapter(Autoscaler).validate_python(data)
    except ValidationError as error:
        path, problem = problems(error)[0]
        raise InputError(problem, file=sources[0], path=path) from None
    return found


def place(loaded: Loaded, pool: str, autoscaler: Autoscaler, name: str) -> Subject:
    """Another autoscaler for a pool, which begins with a number of replicas that it allows. Raises InputError."""
    if isinstance(autoscaler, PerRequest):
        raise InputError("per_request is set in the scenario, not by a manifest", path=f"pools.{pool}.autoscaler")
    before = loaded.scenario.pools[pool]
    low, high = autoscaler.bounds(before.replicas)
    replicas = min(max(before.replicas, low, 1), max(high, 1))
    remarks = () if replicas == before.replicas else (f"pools.{pool}: begins with {replicas} replicas",)
    changed = before.model_copy(update={"autoscaler": autoscaler, "replicas": replicas})
    most = None if before.quota is None else before.quota * before.per_machine
    if most is not None and most < max(low, replicas):
        wrong = f"quota {before.quota} has room for {most} replicas; {name} wants {max(low, replicas)} at least"
        raise InputError(wrong, file=loaded.file, path=f"pools.{pool}.quota", fix="raise the quota")
    scenario = loaded.scenario.model_copy(update={"pools": {**loaded.scenario.pools, pool: changed}})
    return Subject(loaded.changed(scenario), pool, name, remarks)


def chosen(scenario: Scenario, pool: str | None) -> str:
    """The pool that is meant: the named one, the only one, or the only one with an autoscaler. Raises InputError."""
    pools = scenario.pools
    if pool is not None:
        if pool not in pools:
            raise InputError(f"{pool!r} is not a pool of this scenario", path="--pool", fix=suggestion(pool, pools))
        return pool
    scaled = [name for name, one in pools.items() if not isinstance(one.autoscaler, Fixed)]
    found = list(pools) if len(pools) == 1 else scaled
    if len(found) != 1:
        raise InputError("is required: the scenario has several pools", path="--pool", fix=suggestion("", pools))
    return found[0]
