"""The tape: the load of one replication, in blocks.

A row is one visit: one attempt of a request at one stage. The rows of an attempt lie together, in the order of its
workload's stages. Everything random about a request is drawn here, keyed by its workload and its number in it, so that
request k has the same arrival, the same work and the same routing numbers under every strategy, whatever else happens.
"""

from __future__ import annotations

import functools
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.case import Case
from simulator.streams import Draws, Floats, Integers

_CHUNK = 1 << 10  # requests drawn at once for rows that are added one by one
_CHUNKS = 64


@dataclass
class _Stretch:
    """Consecutive rows of one or more workloads, ascending by time."""

    times: Integers
    columns: list[np.ndarray]

    def part(self, chosen: slice) -> _Stretch:
        """Some of its rows."""
        return _Stretch(self.times[chosen], [column[chosen] for column in self.columns])


class Tape:
    """The visits of one replication, appended to columns as they are needed.

    Rows come in blocks, in order of arrival; where clients answer back (they try again, or send their next request
    when the last returns) further rows are added one attempt at a time.
    """

    def __init__(self, case: Case, replication: int) -> None:
        self.case = case
        self.draws = Draws(case.seed, replication)
        self.arrived = array("q")
        """When the attempt was sent, in nanoseconds."""
        self.workload = array("B")
        """Positions in `Case.workloads`."""
        self.stage = array("H")
        """Positions in `Case.stages`."""
        self.index = array("q")
        """Number of the request within its workload."""
        self.service = array("d")
        """What the law of service drew; empty where every stage is served as `works` says."""
        self.works = array("q")
        """Nanoseconds of work in a batch of its own; empty where no stage is served so."""
        self.routing = tuple(array("d") for _ in range(max(pool.balancer.uniforms() for pool in case.pools)))
        """Uniform numbers for the balancers."""
        self.patience: array[float] | None = None
        """Nanoseconds for which the client waits for its turn; None where all wait for ever."""
        self.routed = bytearray()
        """The balancers' reason codes."""
        self._alone = [case.alone(stage.pool) for stage in case.stages]
        self._columns: list[array[Any]] = [self.workload, self.stage, self.index]
        self._columns += [self.service] * (not all(self._alone)) + [self.works] * any(self._alone)
        self._columns += self.routing
        if any(workload.impatience is not None for workload in case.workloads):
            self.patience = array("d")
            self._columns.append(self.patience)
        ways = [case.stages[number].way for workload in case.workloads for number in workload.stages]
        self._straight = not any(ways) and all(len(workload.stages) == 1 for workload in case.workloads)
        self.reached = self.arrived if self._straight else array("q")
        """When the visit's turn came to join a queue of its pool; before it came there, when the attempt was sent."""
        self._chunk = functools.lru_cache(_CHUNKS)(self._draw_chunk)

    def blocks(self) -> Iterator[tuple[list[int], Sequence[int]]]:
        """What comes, block by block: times in order, and the rows of the visits that join a queue then.

        Where clients answer back it is the times at which attempts are sent, and their first rows. The columns have
        grown by the block when it is given out.
        """
        late = _Stretch(np.empty(0, np.int64), [np.empty(0, np.int64)])
        for stretch in _merge([self._stretches(number) for number in range(len(self.case.workloads))]):
            first = len(self.arrived)
            self._extend(stretch)
            if self._straight:
                yield stretch.times.tolist(), range(first, len(self.arrived))
                continue
            # Whoever joins a queue after the last of this block was sent may be overtaken by the next block.
            entries = self._entries(stretch, first, late)
            count = int(np.searchsorted(entries.times, stretch.times[-1], side="right"))
            late = entries.part(slice(count, None))
            yield entries.times[:count].tolist(), entries.columns[0][:count].tolist()
        if len(late.times):
            yield late.times.tolist(), late.columns[0].tolist()

    def append(self, workload: int, index: int, attempt: int, now: int) -> int:
        """Adds one attempt of a request, sent now; the number of its first row."""
        first, count = len(self.arrived), len(self.case.workloads[workload].stages)
        self.arrived.extend([now] * count)
        if not self._straight:
            self.reached.extend([now] * count)
        self.routed += bytes(count)
        chunk, place = divmod(index, _CHUNK)
        for column, values in zip(self._columns, self._chunk(workload, attempt, chunk), strict=True):
            column.extend(values[place * count : (place + 1) * count])
        return first

    def first(self, row: int) -> int:
        """The first row of the attempt that a row belongs to."""
        return row - self.stage[row] + self.case.workloads[self.workload[row]].stages[0]

    def _extend(self, stretch: _Stretch) -> None:
        for column, values in zip(self._columns, stretch.columns, strict=True):
            column.frombytes(values.tobytes())
        stamps = stretch.times.tobytes()
        self.arrived.frombytes(stamps)
        if not self._straight:
            self.reached.frombytes(stamps)
        self.routed += bytes(len(stretch.times))

    def _entries(self, stretch: _Stretch, first: int, late: _Stretch) -> _Stretch:
        """What comes of a stretch that begins with row `first`, and what was late before, in order."""
        workload, stage = stretch.columns[0], stretch.columns[1]
        if any(item.answers_back for item in self.case.workloads):
            begins = np.array([item.stages[0] for item in self.case.workloads])[workload] == stage
            times = stretch.times[begins]
        else:
            begins = np.array([not item.after for item in self.case.stages])[stage]
            times = (stretch.times + np.array([item.way for item in self.case.stages])[stage])[begins]
        times = np.concatenate([late.times, times])
        rows = np.concatenate([late.columns[0], np.flatnonzero(begins) + first])
        order = np.argsort(times, kind="stable")
        return _Stretch(times[order], [rows[order]])

    def _draw_chunk(self, workload: int, attempt: int, chunk: int) -> list[list[Any]]:
        return [column.tolist() for column in self._draw(workload, attempt, chunk * _CHUNK, _CHUNK)]

    def _stretches(self, number: int) -> Iterator[_Stretch]:
        workload = self.case.workloads[number]
        first, stages = 0, len(workload.stages)
        for times in workload.arrivals.stamps(self.draws, workload.name, self.case.duration):
            if not len(times):
                continue
            columns = self._draw(number, 0, first, len(times))
            first += len(times)
            yield _Stretch(times if stages == 1 else np.repeat(times, stages), columns)

    def _draw(self, number: int, attempt: int, first: int, count: int) -> list[np.ndarray]:
        """The columns of requests `first` ... `first + count - 1` of a workload."""
        workload = self.case.workloads[number]
        stages = [self._draw_stage(number, stage, attempt, first, count) for stage in workload.stages]
        rows = (
            stages[0] if len(stages) == 1 else [np.stack(parts, axis=1).ravel() for parts in zip(*stages, strict=True)]
        )
        columns = [
            np.full(count * len(stages), number, dtype=np.uint8),
            np.tile(np.array(workload.stages, dtype=np.uint16), count),
            np.repeat(np.arange(first, first + count, dtype=np.int64), len(stages)),
            *rows,
        ]
        if self.patience is not None:
            patience = np.full(count, np.inf)
            if workload.impatience is not None:
                patience = workload.impatience.draw(self.draws.uniform("patience", workload.name, first, count))
            columns.append(np.repeat(patience, len(stages)))
        return columns

    def _draw_stage(self, number: int, position: int, attempt: int, first: int, count: int) -> list[np.ndarray]:
        """What a stage's pool reads of these requests, column by column."""
        stage, again = self.case.stages[position], f"/{attempt}" if attempt else ""
        entity = f"{self.case.workloads[number].name}/{stage.name}"

        def uniform(stream: str) -> Floats:
            return self.draws.uniform(stream + again, entity, first, count)

        drawn, alone = stage.service.draw(uniform("service")), self._alone[position]
        columns: list[np.ndarray] = []
        if not all(self._alone):
            columns.append(drawn)
        if any(self._alone):
            columns.append(stage.service.works_alone(drawn) if alone else np.zeros(count, dtype=np.int64))
        balancer = self.case.pools[stage.pool].balancer
        used = balancer.uniforms()
        routing = [uniform(f"routing-{d}") if d < used else np.zeros(count) for d in range(len(self.routing))]
        if balancer.keyed:
            routing[0] = self._keys(number, entity, np.arange(first, first + count))
        return columns + routing

    def _keys(self, number: int, entity: str, requests: Integers) -> Floats:
        """The uniform numbers that stand for the requests' keys: one a session, whatever is tried again."""
        sessions = self.case.workloads[number].arrivals.session(requests)
        first = int(sessions.min())
        drawn = self.draws.uniform("routing-0", entity, first, int(sessions.max()) - first + 1)
        found: Floats = drawn[sessions - first]
        return found


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
        columns = zip(*(part.columns for part in ready), strict=True)
        yield _Stretch(times[order], [np.concatenate(found)[order] for found in columns])
