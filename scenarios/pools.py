"""Pools by value: the instance type that they name, the autoscaler, and whether the models fit."""

from __future__ import annotations

import functools
from pathlib import Path

from scenarios.engine_room import settled
from scenarios.lookup import Files
from scenarios.yamlfile import read_yaml
from simulator.autoscaling import Autoscaler
from simulator.batching import Batching, LlmEngine
from simulator.case import Case
from simulator.errors import InputError, suggestion
from simulator.parts import CaseFallback, CasePool, CaseSupply, Kind
from simulator.quantities import format_duration, format_memory
from simulator.run.machines import first_machines
from simulator.scenario import InstanceType, Pool, Scenario

HERE = Path(__file__).parent


@functools.cache
def catalogue() -> dict[str, InstanceType]:
    """The shipped instance types by name."""
    found = read_yaml(HERE / "instances.yaml")
    return {name: InstanceType.model_validate(fields) for name, fields in found.items()}


def instance_type(scenario: Scenario, name: str, path: str) -> InstanceType:
    """An instance type of the scenario's own, or of the catalogue. Raises InputError."""
    known = {**catalogue(), **scenario.instances}
    if name not in known:
        raise InputError(f"{name!r} is not an instance type", path=path, fix=suggestion(name, known))
    return known[name]


def resolve_pool(scenario: Scenario, files: Files, name: str) -> CasePool:
    """A pool by value. Raises InputError."""
    pool = scenario.pools[name]
    try:
        speed = pool.speed.resolve(files)
    except InputError as error:
        raise error.at(path=f"pools.{name}.speed") from None
    machine = instance_type(scenario, pool.instance, f"pools.{name}.instance")
    _fits(scenario, name, pool.instance, machine)
    return CasePool(
        name=name,
        instance=pool.instance,
        machine=machine,
        replicas=pool.replicas,
        balancer=pool.balancer,
        batching=resolve_batching(scenario, files, name),
        autoscaler=resolve_autoscaler(pool, files, f"pools.{name}"),
        cold_start=pool.cold_start,
        limits=pool.limits,
        instances=pool.instances,
        speed=speed,
        sharing=pool.sharing,
        per_machine=pool.per_machine,
        placement=pool.placement,
        quota=pool.quota,
        zones=pool.zones,
        cold_start_spread=pool.cold_start_spread,
        load_time=pool.load_time,
        start=pool.start,
        victims=pool.victims,
        supply=None if pool.supply is None else CaseSupply(pool.supply, scenario.supplies[pool.supply]),
        fallback=tuple(_fallback(scenario, name, number) for number in range(len(pool.fallback))),
        grace=pool.grace,
        slow_start=pool.slow_start,
        faults=pool.faults,
        discipline=pool.discipline,
    )


def resolve_autoscaler(pool: Pool, files: Files, path: str) -> Autoscaler:
    """That of a pool by value. Raises InputError."""
    try:
        found = pool.autoscaler.resolve(files)
    except InputError as error:
        raise error.at(path=f"{path}.autoscaler") from None
    low, high = found.bounds(pool.replicas)
    if not low <= pool.replicas <= high:
        wrong = f"{pool.replicas} is outside the autoscaler's bounds"
        raise InputError(wrong, path=f"{path}.replicas", fix=f"begin with {low} to {high}")
    told = [name for name, metric in found.reads().items() if metric.signal == "kv_cache"]
    if told and not isinstance(pool.batching, LlmEngine):
        wrong = f"{told[0]!r} is the signal kv_cache, which only LLM engines tell"
        raise InputError(
            wrong,
            path=f"{path}.autoscaler",
            fix="choose batching by an engine, such as continuous, or bind it to another signal",
        )
    try:
        pool.model_copy(update={"autoscaler": found}).check_control()
    except ValueError as error:
        raise InputError(str(error), path=path) from None
    return found


def resolve_batching(scenario: Scenario, files: Files, name: str) -> Batching:
    """That of a pool on its machines. Raises InputError."""
    pool = scenario.pools[name]
    if not isinstance(pool.batching, LlmEngine):
        return pool.batching
    for kind in pool.batching.kv_tokens_on:
        instance_type(scenario, kind, f"pools.{name}.batching.kv_tokens_on.{kind}")
    return settled(scenario, files, name, instance_type(scenario, pool.instance, f"pools.{name}.instance"))


def check_supplies(case: Case) -> None:
    """Whether supplies have room for the machines that their pools begin with, which can start. Raises InputError."""
    for supply in {pool.supply.name: pool.supply for pool in case.pools if pool.supply is not None}.values():
        name, rules, begin = supply.name, supply.rules, first_machines(case.pools, supply)
        if rules.quota is not None and begin > rules.quota:
            raise InputError(
                f"{rules.quota} is less than the {begin} machines that its pools begin with",
                path=f"supplies.{name}.quota",
                fix="raise it, or begin with fewer replicas",
            )
        for pool in [pool for pool in case.pools if pool.supply == supply]:
            if (patience := rules.cluster_autoscaler) is not None and pool.shortest_start() > patience.give_up:
                raise InputError(
                    f"{format_duration(patience.give_up)} is shorter than machines of {pool.name} take to start",
                    path=f"supplies.{name}.cluster_autoscaler.give_up",
                    fix=f"write {format_duration(pool.shortest_start())} or more",
                )


def _fallback(scenario: Scenario, pool: str, number: int) -> CaseFallback:
    place = scenario.pools[pool].fallback[number]
    if place.instance is None or place.speed is None:
        return CaseFallback(place)
    machine = instance_type(scenario, place.instance, f"pools.{pool}.fallback.{number}.instance")
    _fits(scenario, pool, place.instance, machine)
    return CaseFallback(place, Kind(place.instance, machine, place.speed))


def _fits(scenario: Scenario, pool: str, instance: str, machine: InstanceType) -> None:
    """Whether a machine's device memory holds the models of a pool, for each of its replicas. Raises InputError."""
    taken, has, each = 0, format_memory(machine.device_memory()), scenario.pools[pool].per_machine
    for name, model in scenario.models.items():
        if not any(stage.pool == pool for stage in model.stages):
            continue
        taken += model.memory_on(instance)
        if taken * each > machine.device_memory():
            needs = model.memory_on(instance)
            others = taken - needs
            beside = f" beside the {format_memory(others)} of other models" if others else ""
            copies = f" in each of {each} replicas" if each > 1 else ""
            raise InputError(
                f"needs {format_memory(needs)} of device memory{beside}{copies}, {instance} has {has}",
                path=f"models.{name}.memory",
                fix=f"choose a larger instance type{', a smaller per_machine' if copies else ''} or a smaller model",
            )
