"""What requests bring, by value: their items and sizes, and whether stages and batches can take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, inf, isfinite

import numpy as np

from calibration.llm.profiles import StepsAsked
from simulator.arrivals import Process, Trace
from simulator.batching import Batching, LlmEngine, Policy
from simulator.case import Case
from simulator.errors import InputError, suggestion
from simulator.llm.service import OUTPUT, PROMPT, Steps
from simulator.parts import CasePool, CaseStage, CaseWorkload
from simulator.quantities import SECOND
from simulator.sizes import SizeLaw, Sizes
from simulator.slo import joint
from simulator.sources import Sources
from simulator.workload import Workload

_LONGEST = 366 * 86400 * SECOND
_NEARLY_ALL = 0.999
"""Share of the sizes that count as asked for, where there is no largest."""


@dataclass(frozen=True)
class Asked:
    """How far the batches and sizes of a stage go."""

    batch: int = 1
    """The largest batch, in items."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """By name the largest size; where there is none, the one that 0.1 % of the requests exceed."""
    totals: Mapping[str, int] = field(default_factory=dict)
    """By name what a batch padded to its largest size never exceeds."""
    steps: StepsAsked | None = None
    """Those of an engine, where it is one that serves the stage."""


def asked(batching: Batching, comers: Sequence[CaseWorkload]) -> Asked:
    """What a stage asks of its service times, given its batches and the workloads that come to it."""
    items = [1 if item.items is None else item.items.largest() for item in comers]
    most = [batching.most(count) for count in items if count is not None]
    sizes: dict[str, int] = {}
    for name, law in (size for item in comers for size in item.sizes):
        sizes[name] = max(sizes.get(name, 0), law.largest() or ceil(np.quantile(law.spread(), _NEARLY_ALL)))
    total = batching.total() if isinstance(batching, Policy) else None
    totals = {total.size: total.most} if total is not None and total.padded else {}
    steps = _steps(batching, comers, sizes) if isinstance(batching, LlmEngine) else None
    return Asked(max([batching.largest(), *(int(count) for count in most if isfinite(count))]), sizes, totals, steps)


def _steps(engine: LlmEngine, comers: Sequence[CaseWorkload], sizes: Mapping[str, int]) -> StepsAsked:
    prompt, longest = sizes.get(PROMPT, 1), sizes.get(PROMPT, 1) + sizes.get(OUTPUT, 1)
    if any(item.prompts is not None and item.prompts.history and item.talks is None for item in comers):
        bounds = [item.prompts.longest for item in comers if item.prompts is not None and item.prompts.longest]
        longest = max([longest, *bounds]) if bounds else engine.longest
    context = max(1, min(longest, engine.longest))
    return StepsAsked(engine.step_tokens, engine.places, context, max(1, min(prompt, context)))


def amounts(
    workload: Workload, arrivals: Process, sources: Sources
) -> tuple[SizeLaw | None, tuple[tuple[str, SizeLaw], ...]]:
    """A workload's items and sizes by value. Raises InputError."""
    given = workload.arrivals
    told = given.read(sources).sizes if isinstance(given, Trace) else {}

    def by_value(sizes: Sizes, path: str) -> SizeLaw:
        try:
            return sizes.resolve(told, arrivals)
        except InputError as error:
            raise error.at(path=path) from None

    items = None if workload.items is None else by_value(workload.items, "items")
    if items is not None and items.spread()[0] < 1:
        raise InputError("some requests would bring nothing", path="items", fix="give at least 1")
    return items, tuple((name, by_value(sizes, f"sizes.{name}")) for name, sizes in workload.sizes.items())


def check(case: Case) -> None:
    """Whether every stage finds the sizes that it reads, and every batch has room for a request. Raises InputError."""
    for stage in case.stages:
        _check_steps(case, stage, case.pools[stage.pool])
    for workload in case.workloads:
        _check_prompts(case, workload)
        _check_adapter(case, workload)
        told = [name for name, _ in workload.sizes]
        for number in workload.stages:
            stage = case.stages[number]
            for name in sorted(case.looks_at(stage)):
                if name not in told:
                    raise InputError(
                        f"nothing is said of {name!r}, which {stage.label} or its batches read",
                        path=f"workloads.{workload.name}.sizes",
                        fix=suggestion(name, told) if told else f"write such as {name}: 100",
                    )
            if workload.items is not None:
                _check_items(case, workload, workload.items, number)
    for slo in case.slos:
        asked = [timing for timing, _ in joint(slo.timing)] or [slo.timing]
        if missing := [timing for timing in asked if timing not in case.timings()]:
            raise InputError(
                f"{slo}: no model of this scenario gives back tokens, so there is no {missing[0]}",
                path="slos",
                fix="write latency, or serve a model in steps, such as kind: llm_roofline",
            )
    for number, stage in enumerate(case.stages):
        if any(number in item.stages for item in case.workloads) and case.demand(number).longest() > _LONGEST:
            raise InputError(
                "a batch takes more than a year", path=f"models.{stage.model}.stages", fix="lower its per_unit"
            )


def _check_steps(case: Case, stage: CaseStage, pool: CasePool) -> None:
    """Steps are for engines, and engines make steps. Raises InputError."""
    steps, kind = isinstance(stage.service, Steps), pool.batching.model_dump()["kind"]
    if steps and not isinstance(pool.batching, LlmEngine):
        raise InputError(
            f"{stage.label} is served in steps of an LLM engine, which batching {kind} does not make",
            path=f"pools.{pool.name}.batching",
            fix="write kind: continuous, with kv_tokens",
        )
    if isinstance(pool.batching, LlmEngine) and not steps:
        raise InputError(
            f"batching {kind} makes steps, and {stage.label} is served in batches",
            path=f"models.{stage.model}.stages",
            fix="give its service as steps, such as kind: llm_roofline",
        )
    if not steps and (stage.sends is not None or stage.receives is not None):
        raise InputError(
            f"only LLM engines have keys and values, and {stage.label} is served in batches",
            path=f"models.{stage.model}.stages",
            fix="remove kv_transfer, or give its service as steps, such as kind: llm_roofline",
        )
    if steps and len(case.stages_of(stage.pool)) > 1:
        raise InputError(
            f"batching {kind} is the engine of one model, and {pool.name} serves several stages",
            path=f"pools.{pool.name}",
            fix="give each a pool of its own",
        )


def _check_prompts(case: Case, workload: CaseWorkload) -> None:
    """Only engines read prompts. Raises InputError."""
    if workload.prompts is not None and not any(isinstance(case.stages[one].service, Steps) for one in workload.stages):
        raise InputError(
            "no stage of its model is an LLM engine, so nobody reads prompts",
            path=f"workloads.{workload.name}.prompts",
            fix="remove it, or serve the model in steps, such as kind: llm_roofline",
        )


def _check_adapter(case: Case, workload: CaseWorkload) -> None:
    """Only some engines load adapters. Raises InputError."""
    pools = [case.pools[case.stages[one].pool] for one in workload.stages]
    adapts = any(isinstance(pool.batching, LlmEngine) and pool.batching.adapts for pool in pools)
    if workload.adapter is not None and not adapts:
        raise InputError(
            f"{workload.adapter!r} is an adapter, and no pool of its model loads any",
            path=f"workloads.{workload.name}.adapter",
            fix=f"in pools.{pools[-1].name}.batching, kind continuous, write adapters: {{max_loras: 4, load: 300ms}}",
        )


def _check_items(case: Case, workload: CaseWorkload, items: SizeLaw, number: int) -> None:
    stage = case.stages[number]
    pool = case.pools[stage.pool]
    largest, measured = items.largest(), stage.service.largest_batch()
    most = pool.batching.most(inf if largest is None else largest)
    brings = "any number of" if largest is None else f"up to {largest}"
    if most < (inf if largest is None else largest):
        raise InputError(
            f"requests bring {brings} items, batches of {pool.name} have at most {most:g}",
            path=f"workloads.{workload.name}.items",
            fix="raise its max_batch, or let the requests bring fewer",
        )
    if measured is not None and most > measured:
        raise InputError(
            f"requests bring {brings} items: batches of {pool.name} go beyond the largest measured, {measured}",
            path=f"workloads.{workload.name}.items",
            fix="let the requests bring fewer, or measure larger batches",
        )
