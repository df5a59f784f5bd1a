"""What is random about requests, drawn stretch by stretch.

Everything is keyed by the workload and the number of the request in it, so that request k has the same arrival, the
same work and the same routing numbers under every strategy, whatever else happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from simulator.arrivals import Agents
from simulator.case import Case
from simulator.llm.service import OUTPUT, PROMPT
from simulator.parts import CaseWorkload
from simulator.run.prompts import GROUP, HASHED, SAID, TALK, Drawn, by_session, sessions
from simulator.sizes import Sampler
from simulator.streams import Draws, Floats, Integers

_ITEMS = "/items"  # a name that nobody can give to a size


@dataclass
class Stretch:
    """Consecutive rows of one or more workloads, ascending by time."""

    times: Integers
    columns: list[np.ndarray]

    def part(self, chosen: slice) -> Stretch:
        """Some of its rows."""
        return Stretch(self.times[chosen], [column[chosen] for column in self.columns])


class Drawing:
    """The numbers of one replication, in the columns that its tape has."""

    def __init__(self, case: Case, draws: Draws) -> None:
        self.case, self.draws = case, draws
        self.alone = [case.alone(stage.pool) for stage in case.stages]
        """By stage: whether its work is that of the tape; the others read what their laws of service drew."""
        self.uniforms = max(pool.balancer.uniforms() for pool in case.pools)
        """Numbers for the balancers."""
        self.network = any(stage.varies() for stage in case.stages)
        """Whether times on the network are drawn."""
        self.items = not all(self.alone) and any(workload.items is not None for workload in case.workloads)
        """Whether any batch looks at how many items requests bring."""
        batched = [stage for stage, alone in zip(case.stages, self.alone, strict=True) if not alone]
        self.sizes = sorted(
            set().union(*map(case.looks_at, batched), *({one.size for one in stage.only} for stage in case.stages))
        )
        """The sizes that batches look at, or that decide who comes to a stage."""
        if PROMPT in self.sizes:
            alike = [item for item in case.workloads if item.prompts is not None]
            self.sizes += [GROUP, TALK] * any(item.hashed is None for item in alike)
            self.sizes += [SAID] * any(isinstance(item.arrivals, Agents) for item in alike)
            self.sizes += [HASHED] * any(item.hashed is not None for item in alike)
        self.patience = any(workload.impatience is not None for workload in case.workloads)
        """Whether clients have a patience of their own."""
        self._sessions = [sessions(draws, item) for item in case.workloads]
        """By workload: those of its requests."""
        self._samplers = [self._amounts(item) for item in case.workloads]
        """By workload and name: the sizes that its stages look at, and its items."""

    def stretches(self) -> Iterator[Stretch]:
        """The first attempts of all requests whose times are known beforehand, in order of arrival."""
        known = [number for number, item in enumerate(self.case.workloads) if item.max_concurrency is None]
        return _merge([self._stretches(number) for number in known])

    def _amounts(self, workload: CaseWorkload) -> dict[str, Sampler]:
        wanted = set().union(*(self.case.looks_at(self.case.stages[stage]) for stage in workload.stages))
        laws = [(name, law) for name, law in workload.sizes if name in wanted]
        laws += [] if workload.items is None else [(_ITEMS, workload.items)]
        found = {name: law.sampler(self.draws, workload.name, name) for name, law in laws}
        if workload.hashed is not None and PROMPT in found:
            found[HASHED] = workload.hashed.sampler(self.draws, workload.name)
        elif workload.prompts is not None and PROMPT in found:
            found |= Drawn(self.draws, workload, workload.prompts, found[PROMPT], found[OUTPUT]).samplers()
        return found

    def _stretches(self, number: int) -> Iterator[Stretch]:
        workload = self.case.workloads[number]
        first, stages = 0, len(workload.stages)
        for times in workload.arrivals.stamps(self.draws, workload.name, self.case.duration):
            if not len(times):
                continue
            columns = self.columns(number, 0, first, len(times))
            first += len(times)
            yield Stretch(times if stages == 1 else np.repeat(times, stages), columns)

    def columns(self, number: int, attempt: int, first: int, count: int) -> list[np.ndarray]:
        """The columns of requests `first` ... `first + count - 1` of a workload."""
        workload = self.case.workloads[number]
        sizes = {name: sample(first, count) for name, sample in self._samplers[number].items()}
        items = sizes.get(_ITEMS, np.ones(count, dtype=np.int64))
        stages = [self._draw_stage(number, stage, attempt, first, items, sizes) for stage in workload.stages]
        rows = (
            stages[0] if len(stages) == 1 else [np.stack(parts, axis=1).ravel() for parts in zip(*stages, strict=True)]
        )
        columns = [
            np.full(count * len(stages), number, dtype=np.uint8),
            np.tile(np.array(workload.stages, dtype=np.uint16), count),
            np.repeat(np.arange(first, first + count, dtype=np.int64), len(stages)),
            *rows,
        ]
        amounts = [items] * self.items
        amounts += [sizes.get(name, np.zeros(count, dtype=np.int64)) for name in self.sizes]
        columns += [np.repeat(column, len(stages)) for column in amounts]
        if self.patience:
            patience = np.full(count, np.inf)
            if workload.impatience is not None:
                patience = workload.impatience.draw(self.draws.uniform("patience", workload.name, first, count))
            columns.append(np.repeat(patience, len(stages)))
        return columns

    def _draw_stage(
        self, number: int, position: int, attempt: int, first: int, items: Integers, sizes: dict[str, Integers]
    ) -> list[np.ndarray]:
        """What a stage's pool reads of these requests, column by column."""
        stage, again = self.case.stages[position], f"/{attempt}" if attempt else ""
        entity, count = f"{self.case.workloads[number].name}/{stage.name}", len(items)

        def uniform(stream: str) -> Floats:
            return self.draws.uniform(stream + again, entity, first, count)

        drawn, alone = stage.service.draw(uniform("service")), self.alone[position]
        columns: list[np.ndarray] = []
        if not all(self.alone):
            columns.append(drawn)
        if any(self.alone):
            works = np.zeros(count, dtype=np.int64)
            if alone:
                units = works if stage.service.reads is None else items * sizes[stage.service.reads]
                works = stage.service.works_alone(drawn, items, units)
            columns.append(works)
        balancer = self.case.pools[stage.pool].balancer
        used = balancer.uniforms()
        routing = [uniform(f"routing-{d}") if d < used else np.zeros(count) for d in range(self.uniforms)]
        if balancer.keyed:
            # One key a session, whatever is tried again.
            routing[0] = by_session(self.draws, "routing-0", entity, self._sessions[number](first, count))
        columns += routing
        if self.network:
            columns.append(stage.networks(uniform("network")) if stage.varies() else np.full(count, stage.network))
        return columns


def _merge(sources: list[Iterator[Stretch]]) -> Iterator[Stretch]:
    """One ascending sequence; equal times in the order of the workloads."""
    if len(sources) == 1:
        yield from sources[0]
        return
    waiting: list[Stretch | None] = [next(source, None) for source in sources]
    while any(waiting):
        # Nothing earlier than the earliest last stamp can still come.
        horizon = min(int(part.times[-1]) for part in waiting if part is not None)
        ready: list[Stretch] = []
        for number, part in enumerate(waiting):
            if part is None:
                continue
            count = int(np.searchsorted(part.times, horizon, side="right"))
            ready.append(part.part(slice(count)))
            later = part.part(slice(count, None))
            waiting[number] = later if len(later.times) else next(sources[number], None)
        times = np.concatenate([part.times for part in ready])
        order = np.argsort(times, kind="stable")
        columns = zip(*(part.columns for part in ready), strict=True)
        yield Stretch(times[order], [np.concatenate(found)[order] for found in columns])
