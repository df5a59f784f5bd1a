"""What requests bring, by value: their items and sizes, and whether stages and batches can take them."""

from __future__ import annotations

from math import inf

from simulator.arrivals import Process, Trace
from simulator.case import Case
from simulator.errors import InputError, suggestion
from simulator.parts import CaseWorkload
from simulator.quantities import SECOND
from simulator.scenario import Workload
from simulator.sizes import SizeLaw, Sizes
from simulator.sources import Sources

_LONGEST = 366 * 86400 * SECOND


def amounts(
    workload: Workload, arrivals: Process, sources: Sources
) -> tuple[SizeLaw | None, tuple[tuple[str, SizeLaw], ...]]:
    """A workload's items and sizes by value. Raises InputError."""
    given = workload.arrivals
    told = sources.trace(given.file, given.format, given.column).sizes if isinstance(given, Trace) else {}

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
    for workload in case.workloads:
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
    for number, stage in enumerate(case.stages):
        if any(number in item.stages for item in case.workloads) and case.demand(number).longest() > _LONGEST:
            raise InputError(
                "a batch takes more than a year", path=f"models.{stage.model}.stages", fix="lower its per_unit"
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
