"""The tape: the load of one replication, in blocks.

Everything random about a request is drawn here, keyed by its workload and its number in it, so that request k has
the same arrival, the same work and the same routing numbers under every strategy, whatever else happens.
"""

from __future__ import annotations

import functools
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simulator.case import Case, CasePool
from simulator.streams import Draws, Floats, Integers

_CHUNK = 1 << 10  # requests drawn at once for rows that are added one by one
_CHUNKS = 64


@dataclass
class PoolTape:
    """What one pool reads of each request, by the request's number on the tape."""

    service: array[float] = field(default_factory=lambda: array("d"))
    """What the law of service drew; empty where `works` is not."""
    works: array[int] = field(default_factory=lambda: array("q"))
    """Nanoseconds of work, where each request is a batch of its own."""
    routing: tuple[array[float], ...] = ()
    """Uniform numbers for the balancer."""


@dataclass
class _Stretch:
    """Consecutive requests of one or more workloads, ascending by time."""

    times: Integers
    workload: np.ndarray
    index: Integers
    """The number of each request within its workload."""
    columns: list[np.ndarray]

    def part(self, chosen: slice) -> _Stretch:
        """Some of its requests."""
        columns = [column[chosen] for column in self.columns]
        return _Stretch(self.times[chosen], self.workload[chosen], self.index[chosen], columns)


class Tape:
    """The requests of one replication, appended to columns as they are needed.

    A row is one attempt of a request. Rows come in blocks, in order of arrival; where clients answer back (they try
    again, or send their next request when the last returns) further rows are added one by one.
    """

    def __init__(self, case: Case, replication: int) -> None:
        self.case = case
        self.draws = Draws(case.seed, replication)
        self.arrived = array("q")
        """Arrival stamps, in nanoseconds."""
        self.workload = array("B")
        """Positions in `Case.workloads`."""
        self.index = array("q")
        """Number of the request within its workload."""
        self.patience: array[float] | None = None
        """Nanoseconds for which the client waits for its turn; None where all wait for ever."""
        if any(workload.impatience is not None for workload in case.workloads):
            self.patience = array("d")
        self.pools = [
            PoolTape(routing=tuple(array("d") for _ in range(pool.balancer.uniforms()))) for pool in case.pools
        ]
        self._columns: list[array[Any]] = []
        for pool, known in zip(self.pools, case.pools, strict=True):
            self._columns += [pool.works if case.alone(known) else pool.service, *pool.routing]
        if self.patience is not None:
            self._columns.append(self.patience)
        self._chunk = functools.lru_cache(_CHUNKS)(self._draw_chunk)

    def blocks(self) -> Iterator[list[int]]:
        """Arrival stamps block by block; the columns have grown by the block when it is given out."""
        for stretch in _merge([self._stretches(number) for number in range(len(self.case.workloads))]):
            self.arrived.frombytes(stretch.times.tobytes())
            self.workload.frombytes(stretch.workload.tobytes())
            self.index.frombytes(stretch.index.tobytes())
            for column, values in zip(self._columns, stretch.columns, strict=True):
                column.frombytes(values.tobytes())
            yield stretch.times.tolist()

    def append(self, workload: int, index: int, attempt: int, now: int) -> int:
        """Adds one attempt of a request, sent now; the number of its row."""
        self.arrived.append(now)
        self.workload.append(workload)
        self.index.append(index)
        chunk, place = divmod(index, _CHUNK)
        for column, values in zip(self._columns, self._chunk(workload, attempt, chunk), strict=True):
            column.append(values[place])
        return len(self.arrived) - 1

    def _draw_chunk(self, workload: int, attempt: int, chunk: int) -> list[list[Any]]:
        return [column.tolist() for column in self._draw(workload, attempt, chunk * _CHUNK, _CHUNK)]

    def _stretches(self, number: int) -> Iterator[_Stretch]:
        workload = self.case.workloads[number]
        first = 0
        for times in workload.arrivals.stamps(self.draws, workload.name, self.case.duration):
            count = len(times)
            if not count:
                continue
            index = np.arange(first, first + count, dtype=np.int64)
            yield _Stretch(times, np.full(count, number, dtype=np.uint8), index, self._draw(number, 0, first, count))
            first += count

    def _draw(self, number: int, attempt: int, first: int, count: int) -> list[np.ndarray]:
        """What the pools read of requests `first` ... `first + count - 1` of a workload, column by column."""
        workload = self.case.workloads[number]
        columns: list[np.ndarray] = []
        again = f"/{attempt}" if attempt else ""
        for position, pool in enumerate(self.case.pools):
            entity = f"{workload.name}/{pool.name}"
            visited = position in workload.pools
            streams = ["service", *(f"routing-{draw}" for draw in range(pool.balancer.uniforms()))]
            for stream in streams:
                uniform = self.draws.uniform(stream + again, entity, first, count) if visited else np.zeros(count)
                columns.append(uniform if stream != "service" else self._service(pool, uniform))
        if self.patience is not None:
            if workload.impatience is None:
                columns.append(np.full(count, np.inf))
            else:
                uniform = self.draws.uniform("patience", workload.name, first, count)
                columns.append(workload.impatience.draw(uniform))
        return columns

    def _service(self, pool: CasePool, uniform: Floats) -> np.ndarray:
        """What a pool reads of each request's service."""
        drawn = pool.service.draw(uniform)
        return pool.service.works_alone(drawn) if self.case.alone(pool) else drawn


def _merge(sources: list[Iterator[_Stretch]]) -> Iterator[_Stretch]:
    """One ascending sequence; equal times in the order of the workloads."""
    if len(sources) == 1:
        yield from sources[0]
        return
    waiting: list[_Stretch | None] = [next(source, None) for source in sources]
    while any(waiting):
        # Nothing earlier than the earliest last stamp can still come.
        horizon = min(int(part.times[-1]) for part in waiting if part is not None)
        ready: list[_Stretch] = []
        for number, part in enumerate(waiting):
            if part is None:
                continue
            count = int(np.searchsorted(part.times, horizon, side="right"))
            ready.append(part.part(slice(count)))
            later = part.part(slice(count, None))
            waiting[number] = later if len(later.times) else next(sources[number], None)
        times = np.concatenate([part.times for part in ready])
        order = np.argsort(times, kind="stable")
        yield _Stretch(
            times[order],
            np.concatenate([part.workload for part in ready])[order],
            np.concatenate([part.index for part in ready])[order],
            [np.concatenate(columns)[order] for columns in zip(*(p.columns for p in ready), strict=True)],
        )
