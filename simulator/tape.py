"""The tape: the load of one replication, in blocks.

Everything random about a request is drawn here, keyed by its workload and its number in it, so that request k has
the same arrival, the same work and the same routing numbers under every strategy, whatever else happens.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from simulator.case import Case
from simulator.streams import Draws, Floats, Integers


@dataclass
class PoolTape:
    """What one pool reads of each request, by the request's number on the tape."""

    service: array[float] = field(default_factory=lambda: array("d"))
    """What the law of service drew."""
    routing: tuple[array[float], ...] = ()
    """Uniform numbers for the balancer."""


@dataclass
class _Stretch:
    """Consecutive requests of one or more workloads, ascending by time."""

    times: Integers
    workload: np.ndarray
    columns: list[Floats]

    def cut(self, count: int) -> tuple[_Stretch, _Stretch]:
        """The first `count` requests, and the rest."""
        return (
            _Stretch(self.times[:count], self.workload[:count], [c[:count] for c in self.columns]),
            _Stretch(self.times[count:], self.workload[count:], [c[count:] for c in self.columns]),
        )


class Tape:
    """The requests of one replication, appended to columns as they are needed."""

    def __init__(self, case: Case, replication: int) -> None:
        self.case = case
        self.draws = Draws(case.seed, replication)
        self.arrived = array("q")
        """Arrival stamps, in nanoseconds."""
        self.workload = array("B")
        """Positions in `Case.workloads`."""
        used = [pool.balancer.uniforms() for pool in case.pools]
        self.pools = [PoolTape(routing=tuple(array("d") for _ in range(count))) for count in used]

    def blocks(self) -> Iterator[list[int]]:
        """Arrival stamps block by block; the columns have grown by the block when it is given out."""
        for stretch in _merge([self._stretches(number) for number in range(len(self.case.workloads))]):
            self.arrived.frombytes(stretch.times.tobytes())
            self.workload.frombytes(stretch.workload.tobytes())
            columns = iter(stretch.columns)
            for pool in self.pools:
                for column in (pool.service, *pool.routing):
                    column.frombytes(next(columns).tobytes())
            yield stretch.times.tolist()

    def _stretches(self, number: int) -> Iterator[_Stretch]:
        workload = self.case.workloads[number]
        first = 0
        for times in workload.arrivals.stamps(self.draws, workload.name, self.case.duration):
            count = len(times)
            if not count:
                continue
            columns: list[Floats] = []
            for position, pool in enumerate(self.case.pools):
                entity = f"{workload.name}/{pool.name}"
                visited = position in workload.pools
                streams = ["service", *(f"routing-{draw}" for draw in range(pool.balancer.uniforms()))]
                for stream in streams:
                    uniform = self.draws.uniform(stream, entity, first, count) if visited else np.zeros(count)
                    columns.append(pool.service.draw(uniform) if stream == "service" else uniform)
            yield _Stretch(times, np.full(count, number, dtype=np.uint8), columns)
            first += count


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
            now, later = part.cut(int(np.searchsorted(part.times, horizon, side="right")))
            ready.append(now)
            waiting[number] = later if len(later.times) else next(sources[number], None)
        times = np.concatenate([part.times for part in ready])
        index = np.argsort(times, kind="stable")
        yield _Stretch(
            times[index],
            np.concatenate([part.workload for part in ready])[index],
            [np.concatenate(columns)[index] for columns in zip(*(p.columns for p in ready), strict=True)],
        )
