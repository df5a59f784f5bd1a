"""Scenarios from files: read, set, validated, and resolved into cases."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from calibration.profile import find_profile, load_profile
from scenarios.settings import apply_settings
from scenarios.traces import read_trace
from scenarios.yamlfile import format_yaml, read_yaml
from simulator.case import Case, CasePool, CaseWorkload
from simulator.component import problems
from simulator.errors import InputError, suggestion
from simulator.quantities import format_duration, format_memory
from simulator.scenario import InstanceType, Model, Scenario, Stage
from simulator.service import Law, Table
from simulator.sources import Recorded

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


@functools.cache
def catalogue() -> dict[str, InstanceType]:
    """The shipped instance types by name."""
    found = read_yaml(HERE / "instances.yaml")
    return {name: InstanceType.model_validate(fields) for name, fields in found.items()}


class Files:
    """Looks up what a scenario names, beside the scenario and then from where the command runs; reads it once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._traces: dict[tuple[str, str, str | None], Recorded] = {}
        self._tables: dict[str, Table] = {}

    def trace(self, file: str, format: str, column: str | None = None) -> Recorded:  # noqa: A002 - the word users write
        """The requests of a trace file."""
        key = (file, format, column)
        if key not in self._traces:
            self._traces[key] = read_trace(self._find(file), format, column)
        return self._traces[key]

    def profile(self, name: str) -> Table:
        """Service times of a profile."""
        if name not in self._tables:
            beside = self.folder / name
            path = beside if beside.is_file() else find_profile(name)
            self._tables[name] = load_profile(path).table()
        return self._tables[name]

    def _find(self, file: str) -> Path:
        beside = self.folder / file
        return beside if beside.is_file() else Path(file)


def resolve(scenario: Scenario, files: Files) -> Case:
    """The scenario by value. Raises InputError."""
    names = list(scenario.pools)
    found: dict[str, CasePool] = {}
    for model_name, model in scenario.models.items():
        for number, stage in enumerate(model.stages):
            where = f"models.{model_name}.stages.{number}"
            found[stage.pool] = _pool(scenario, files, model, stage, where)
    for name in names:
        if name not in found:
            raise InputError("serves no model", path=f"pools.{name}", fix="name it in a stage, or remove it")
    workloads = []
    for name, workload in scenario.workloads.items():
        try:
            arrivals = workload.arrivals.resolve(files)
        except InputError as error:
            raise error.at(path=f"workloads.{name}.arrivals") from None
        stages = scenario.models[workload.model].stages
        steps = tuple(names.index(stage.pool) for stage in stages)
        workloads.append(
            CaseWorkload(
                name=name,
                arrivals=arrivals,
                pools=steps,
                timeout=workload.timeout,
                cancels=workload.cancels,
                retries=workload.retries,
                impatience=workload.impatience,
            )
        )
    duration = _duration(scenario, workloads)
    return Case(
        title=scenario.title,
        workloads=tuple(workloads),
        pools=tuple(found[name] for name in names),
        slos=scenario.slos,
        duration=duration,
        warmup=scenario.run.warmup,
        replications=scenario.run.replications,
        seed=scenario.seed,
        precision=scenario.run.precision,
    )


def instance_type(scenario: Scenario, name: str, path: str) -> InstanceType:
    """An instance type of the scenario's own, or of the catalogue. Raises InputError."""
    known = {**catalogue(), **scenario.instances}
    if name not in known:
        raise InputError(f"{name!r} is not an instance type", path=path, fix=suggestion(name, known))
    return known[name]


def _pool(scenario: Scenario, files: Files, model: Model, stage: Stage, where: str) -> CasePool:
    pool = scenario.pools[stage.pool]
    machine = instance_type(scenario, pool.instance, f"pools.{stage.pool}.instance")
    if model.memory > machine.device_memory():
        raise InputError(
            f"needs {format_memory(model.memory)} of device memory, {pool.instance} has "
            f"{format_memory(machine.device_memory())}",
            path=f"{where.rpartition('.stages')[0]}.memory",
            fix="choose a larger instance type or a smaller model",
        )
    law = _law(files, stage, pool.instance, f"{where}.service.{pool.instance}")
    largest, wanted = law.largest_batch(), pool.batching.largest()
    if largest is not None and wanted > largest:
        raise InputError(
            f"batches of {wanted} are beyond the largest that was measured, {largest}",
            path=f"pools.{stage.pool}.batching",
            fix=f"lower max_batch to {largest}, or measure larger batches",
        )
    return CasePool(
        name=stage.pool,
        instance=pool.instance,
        machine=machine,
        service=law,
        replicas=pool.replicas,
        balancer=pool.balancer,
        batching=pool.batching,
        autoscaler=pool.autoscaler,
        cold_start=pool.cold_start,
        limits=pool.limits,
        instances=pool.instances,
        speed=pool.speed,
    )


def _law(files: Files, stage: Stage, instance: str, where: str) -> Law:
    try:
        return stage.service[instance].resolve(files)
    except InputError as error:
        raise error.at(path=where) from None


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
