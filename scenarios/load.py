"""Scenarios from files: read, set, validated, and resolved into cases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from scenarios.amounts import amounts, asked, check
from scenarios.beginnings import hashes, talks
from scenarios.blanks import check_filled
from scenarios.engine_room import estimated
from scenarios.lookup import Files
from scenarios.pools import check_supplies, resolve_autoscaler, resolve_batching, resolve_pool
from scenarios.quality import shortfall, unknown
from scenarios.settings import apply_settings
from scenarios.yamlfile import format_yaml, read_yaml
from simulator.batching import LlmEngine
from simulator.case import Case
from simulator.component import problems
from simulator.errors import InputError, suggestion
from simulator.llm.service import Steps
from simulator.model import Stage
from simulator.parts import CaseStage, CaseWorkload
from simulator.quantities import format_duration
from simulator.scenario import Scenario
from simulator.service import Law

HERE = Path(__file__).parent
LIBRARY = HERE / "library"


@dataclass(frozen=True)
class Loaded:
    """A scenario and the place where the files that it names are looked up."""

    scenario: Scenario
    files: Files
    file: str
    """What the user called it."""

    def changed(self, scenario: Scenario) -> Loaded:
        """Another scenario from the same place."""
        return Loaded(scenario, self.files, self.file)

    def settled(self) -> Loaded:
        """The same with the autoscalers of manifests in the place of their files. Raises InputError."""
        pools = {
            name: pool.model_copy(update={"autoscaler": resolve_autoscaler(pool, self.files, f"pools.{name}")})
            for name, pool in self.scenario.pools.items()
        }
        return self.changed(self.scenario.model_copy(update={"pools": pools}))

    def case(self) -> Case:
        """The scenario by value. Raises InputError."""
        try:
            return resolve(self.scenario, self.files)
        except InputError as error:
            raise error.at(file=self.file) from None


def library() -> dict[str, Path]:
    """The shipped scenarios by name."""
    return {path.stem: path for path in sorted(LIBRARY.glob("*.yaml"))}


def load(source: str | Path, settings: Iterable[str] = ()) -> Loaded:
    """A scenario from a file or by its shipped name, with `path=value` settings. Raises InputError."""
    path = Path(source)
    if not path.is_file():
        shipped = library()
        if str(source) not in shipped:
            raise InputError(
                "no such file, and no shipped scenario has this name",
                file=str(source),
                fix=suggestion(str(source), shipped),
            )
        path = shipped[str(source)]
    file = str(source)
    data = read_yaml(path)
    try:
        data = apply_settings(data, settings)
    except InputError as error:
        raise error.at(file=file) from None
    return Loaded(validate(data, file), Files(path.parent), file)


def validate(data: Any, file: str | None = None) -> Scenario:
    """Plain data as a scenario. Raises InputError for the first thing that is wrong."""
    if not isinstance(data, dict):
        raise InputError("is not a mapping of fields", file=file, fix="see `headroom schema`")
    if "apiVersion" in data:
        what = f"is a manifest (kind {data.get('kind')!r}), not a scenario"
        raise InputError(what, file=file, fix="write headroom autoscaler validate -f MANIFEST SCENARIO")
    check_filled(data, file)
    try:
        return Scenario.model_validate(data)
    except ValidationError as error:
        found = problems(error)
        path, problem = found[0]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise InputError(f"{problem}{more}", file=file, path=path) from None


def format_scenario(scenario: Scenario) -> str:
    """The YAML text that `load` reads back: what was given, with units; what was left to its default stays out."""
    return format_yaml(scenario.model_dump(mode="json", exclude_unset=True))


def resolve(scenario: Scenario, files: Files) -> Case:
    """The scenario by value. Raises InputError."""
    for name in scenario.pools:
        if not any(stage.pool == name for model in scenario.models.values() for stage in model.stages):
            raise InputError("serves no model", path=f"pools.{name}", fix="name it in a stage, or remove it")
    first, count = {}, 0
    for name, model in scenario.models.items():
        first[name] = count
        count += len(model.stages)
    workloads = [_workload(scenario, files, name, first) for name in scenario.workloads]
    stages = [stage for name in scenario.models for stage in _stages(scenario, files, name, first[name], workloads)]
    case = Case(
        title=scenario.title,
        workloads=tuple(workloads),
        stages=tuple(stages),
        pools=tuple(resolve_pool(scenario, files, name) for name in scenario.pools),
        slos=scenario.slos,
        duration=_duration(scenario, workloads),
        warmup=scenario.run.warmup,
        replications=scenario.run.replications,
        seed=scenario.seed,
        records=None if scenario.run.records == "auto" else scenario.run.records,
        precision=scenario.run.precision,
    )
    check(case)
    check_supplies(case)
    if remark := shortfall(scenario) or unknown(scenario):
        files.remarks[remark] = None
    return case


def _workload(scenario: Scenario, files: Files, name: str, first: dict[str, int]) -> CaseWorkload:
    """A workload by value; `first` holds the place of each model's first stage."""
    workload = scenario.workloads[name]
    model = scenario.models[workload.model]
    try:
        arrivals = workload.arrivals.resolve(files)
    except InputError as error:
        raise error.at(path=f"workloads.{name}.arrivals") from None
    try:
        items, sizes = amounts(workload, arrivals, files)
        hashed = hashes(workload, arrivals, dict(sizes), files)
        talked = talks(workload, arrivals, dict(sizes), files)
    except InputError as error:
        raise error.at(path=f"workloads.{name}") from None
    start = first[workload.model]
    return CaseWorkload(
        name=name,
        arrivals=arrivals,
        stages=tuple(range(start, start + len(model.stages))),
        timeout=workload.timeout,
        cancels=workload.cancels,
        retries=workload.retries,
        max_concurrency=workload.max_concurrency,
        impatience=workload.impatience,
        reply=model.reply,
        priority=workload.priority,
        deadline=workload.deadline,
        weight=workload.weight,
        items=items,
        sizes=sizes,
        prompts=workload.prompts,
        hashed=hashed,
        talks=talked,
        adapter=workload.adapter,
    )


def _stages(scenario: Scenario, files: Files, name: str, start: int, workloads: list[CaseWorkload]) -> list[CaseStage]:
    """The stages of a model by value, numbered from `start`."""
    model, names, found = scenario.models[name], list(scenario.pools), []
    for number, stage in enumerate(model.stages):
        comers = [item for item in workloads if start + number in item.stages]
        law = _law(scenario, files, stage, comers, f"models.{name}.stages.{number}")
        found.append(
            CaseStage(
                name=stage.called,
                pool=names.index(stage.pool),
                service=law,
                after=tuple(start + before for before in model.before(number)),
                network=stage.network,
                network_spread=stage.network_spread,
                transfer=stage.transfer.time() if stage.transfer else 0,
                overhead=stage.overhead,
                sends=model.sends(number),
                receives=stage.kv_transfer,
                only=model.conditions(number),
                model=name,
            )
        )
    return found


def _law(scenario: Scenario, files: Files, stage: Stage, comers: list[CaseWorkload], where: str) -> Law:
    """How long the batches of a stage take, which serves these workloads."""
    pool, batching = scenario.pools[stage.pool], resolve_batching(scenario, files, stage.pool)
    try:
        law = stage.service[pool.instance].resolve(files.asked(asked(batching, comers)))
    except InputError as error:
        raise error.at(path=f"{where}.service.{pool.instance}") from None
    if isinstance(pool.batching, LlmEngine) and pool.batching.on(pool.instance).kv_tokens is None:
        law = estimated(law) if isinstance(law, Steps) else law
    largest, wanted = law.largest_batch(), batching.largest()
    if largest is not None and wanted > largest:
        raise InputError(
            f"batches of {wanted} are beyond the largest that was measured, {largest}",
            path=f"pools.{stage.pool}.batching",
            fix=f"lower max_batch to {largest}, measure larger batches, or set extrapolate: true in the service",
        )
    return law


def _duration(scenario: Scenario, workloads: list[CaseWorkload]) -> int:
    if scenario.run.duration is not None:
        return scenario.run.duration
    spans = [workload.arrivals.span() for workload in workloads]
    if None in spans:
        raise InputError("is required: these arrivals never end", path="run.duration", fix="write such as 10m")
    longest = max(span for span in spans if span is not None)
    if (scenario.run.warmup or 0) >= longest:
        raise InputError(
            f"must be shorter than the trace, {format_duration(longest)}", path="run.warmup", fix="write 0s"
        )
    return longest
