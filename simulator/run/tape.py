"""The tape: the load of one replication, in blocks.

A row is one visit: one attempt of a request at one stage. The rows of an attempt lie together, in the order of its
workload's stages. What is written there is drawn in `simulator.run.drawing`.
"""

from __future__ import annotations

import functools
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from simulator.case import Case
from simulator.run.drawing import Drawing, Stretch
from simulator.run.extents import Extents
from simulator.streams import Draws

_CHUNK = 1 << 10  # requests drawn at once for rows that are added one by one
_CHUNKS = 64


class Tape:
    """The visits of one replication, written into columns as they are needed: at their end, or into vacant extents.

    Rows come in blocks, in order of arrival; where clients answer back (they try again, or send their next request
    when the last returns) further rows are added one attempt at a time.
    """

    def __init__(self, case: Case, replication: int) -> None:
        self.case = case
        self.draws = Draws(case.seed, replication)
        self.drawing = drawing = Drawing(case, self.draws)
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
        self.routing = tuple(array("d") for _ in range(drawing.uniforms))
        """Uniform numbers for the balancers."""
        self.items: array[int] | None = None
        """How many each request brings; None where that is always one, or where no batch looks at it."""
        self.sizes: dict[str, array[int]] = {}
        """By name: a size of each item, of those that batches look at, or that decide who comes to a stage."""
        self.patience: array[float] | None = None
        """Nanoseconds for which the client waits for its turn; None where all wait for ever."""
        self.network: array[int] | None = None
        """Nanoseconds on the network before the visit; None where each stage's are always the same."""
        self.routed = bytearray()
        """The balancers' reason codes."""
        self._columns: list[array[Any]] = [self.workload, self.stage, self.index]
        alone = drawing.alone
        self._columns += [self.service] * (not all(alone)) + [self.works] * any(alone)
        self._columns += self.routing
        self._network_at = len(self._columns)
        if drawing.network:
            self.network = array("q")
            self._columns.append(self.network)
        if drawing.items:
            self.items = array("q")
            self._columns.append(self.items)
        self.sizes = {name: array("q") for name in drawing.sizes}
        self._columns += self.sizes.values()
        if drawing.patience:
            self.patience = array("d")
            self._columns.append(self.patience)
        ways = [case.stages[number].way for workload in case.workloads for number in workload.stages]
        self._straight = not any(ways) and all(len(workload.stages) == 1 for workload in case.workloads)
        self.chooses = any(stage.only for stage in case.stages)
        """Whether there are stages that some requests pass by."""
        self.reached = self.arrived if self._straight else array("q")
        """When the visit's turn came to join a queue of its pool; before it came there, when the attempt was sent."""
        self.number = array("q")
        """How many rows were given out before it: rows may be used again, numbers are not. Empty where clients do not
        answer back, like all columns that follow."""
        self.origin = array("q")
        """The number of the first row of its request's first attempt."""
        self.attempt = array("B")
        """How many attempts at its request were made before."""
        self.open, self.again = bytearray(), bytearray()
        """By first row: whether its client still waits for an answer, and whether another attempt follows."""
        self.answers_back = any(workload.answers_back for workload in case.workloads)
        """Whether what comes depends on answers."""
        self._given = 0
        """Rows given out."""
        self.extents: Extents | None = None
        """Rows that may be used again; None where each row is kept."""
        self._now = 0
        """When the latest of the block before joined a queue."""
        self._chunk = functools.lru_cache(_CHUNKS)(self._draw_chunk)

    def blocks(self) -> Iterator[tuple[list[int], Sequence[int]]]:
        """What comes, block by block: times in order, and the rows of the visits that join a queue then.

        Where clients answer back it is the times at which attempts are sent, and their first rows. The columns hold
        the block when it is given out.
        """
        late = Stretch(np.empty(0, np.int64), [np.empty(0, np.int64)])
        for number, stretch in self._pieces(self.drawing.stretches()):
            first = self._write(stretch, number)
            self._now = int(stretch.times[-1])
            if self._straight:
                yield stretch.times.tolist(), range(first, first + len(stretch.times))
                continue
            # Whoever joins a queue after the last of this block was sent may be overtaken by the next block.
            entries = self._entries(stretch, first, late)
            count = int(np.searchsorted(entries.times, stretch.times[-1], side="right"))
            late = entries.part(slice(count, None))
            self._now = int(entries.times[count - 1]) if count else 0
            yield entries.times[:count].tolist(), entries.columns[0][:count].tolist()
        if len(late.times):
            yield late.times.tolist(), late.columns[0].tolist()

    def append(self, workload: int, index: int, attempt: int, origin: int | None, now: int) -> int:
        """Adds one attempt of a request, sent now, and gives back its first row.

        `origin` is the number of the first row of the request's first attempt; None where this is the first.
        """
        count = len(self.case.workloads[workload].stages)
        first = self._room(count, now)
        rows = slice(first, first + count)
        chunk, place = divmod(index, _CHUNK)
        for column, values in zip(self._columns, self._chunk(workload, attempt, chunk), strict=True):
            column[rows] = array(column.typecode, values[place * count : (place + 1) * count])
        self._stamp(rows, array("q", [now] * count))
        self.number[rows] = array("q", range(self._given, self._given + count))
        self.origin[rows] = array("q", [self._given if origin is None else origin] * count)
        self.attempt[rows] = array("B", [attempt] * count)
        self._given += count
        return first

    def first(self, row: int) -> int:
        """The first row of the attempt that a row belongs to."""
        return row - self.stage[row] + self.case.workloads[self.workload[row]].stages[0]

    def grow(self, count: int) -> int:
        """Makes room for so many rows, and gives back the first."""
        first = len(self.arrived)
        for column in self._every():
            if isinstance(column, bytearray):
                column += bytes(count)
            else:
                column.frombytes(bytes(count * column.itemsize))
        return first

    def clear(self) -> None:
        """Gives the memory of the columns back, whoever still refers to them."""
        for column in self._every():
            del column[:]

    def _every(self) -> list[array[Any] | bytearray]:
        columns: list[array[Any] | bytearray] = [*self._columns, self.arrived, self.routed]
        if not self._straight:
            columns.append(self.reached)
        if self.answers_back:
            columns += [self.number, self.origin, self.attempt, self.open, self.again]
        return columns

    def passes_by(self, rows: slice) -> np.ndarray:
        """By row: whether its request passes by the stage."""
        stages, found = np.array(self.stage[rows]), np.zeros(rows.stop - rows.start, dtype=bool)
        for number, stage in enumerate(self.case.stages):
            for condition in stage.only:
                found |= (stages == number) & ~condition.holds(np.array(self.sizes[condition.size][rows]))
        return found

    def begins(self, workload: np.ndarray, stage: np.ndarray) -> np.ndarray:
        """By row: whether an attempt begins with it."""
        found: np.ndarray = np.array([item.stages[0] for item in self.case.workloads])[workload] == stage
        return found

    def _pieces(self, stretches: Iterator[Stretch]) -> Iterator[tuple[int, Stretch]]:
        """The number of the first row and what follows, in pieces that fit into an extent where rows are used again."""
        for stretch in stretches:
            first, count, number = 0, len(stretch.times), self._given
            self._given += count
            while self.extents is not None and count - first > self.extents.size:
                most = slice(first, first + self.extents.size + 1)
                begins = self.begins(*(column[most] for column in stretch.columns[:2]))
                end = first + int(np.flatnonzero(begins)[-1])
                yield number + first, stretch.part(slice(first, end))
                first = end
            yield number + first, stretch.part(slice(first, count))

    def _room(self, count: int, now: int) -> int:
        """The first of so many rows in a row."""
        return len(self.arrived) if self.extents is None else self.extents.place(count, now)

    def _write(self, stretch: Stretch, number: int) -> int:
        """Writes a stretch that begins with row number `number` into the columns, and gives back its first row."""
        first = self._room(len(stretch.times), self._now)
        rows = slice(first, first + len(stretch.times))
        for column, values in zip(self._columns, stretch.columns, strict=True):
            column[rows] = array(column.typecode, values.tobytes())
        self._stamp(rows, array("q", stretch.times.tobytes()))
        if self.answers_back:
            begins = self.begins(*stretch.columns[:2])
            numbers = np.arange(number, number + len(begins))
            self.number[rows] = array("q", numbers.tobytes())
            self.origin[rows] = array("q", numbers[begins][np.cumsum(begins) - 1].tobytes())
            self.attempt[rows] = array("B", bytes(len(begins)))
        return first

    def _stamp(self, rows: slice, times: array[int]) -> None:
        """Rows are sent at these times, and nothing has become of them yet."""
        self.arrived[rows] = times
        if not self._straight:
            self.reached[rows] = times
        self.routed[rows] = bytes(len(times))
        if self.answers_back:
            self.open[rows] = b"\x01" * len(times)
            self.again[rows] = bytes(len(times))

    def _entries(self, stretch: Stretch, first: int, late: Stretch) -> Stretch:
        """What comes of a stretch that begins with row `first`, and what was late before, in order."""
        workload, stage = stretch.columns[0], stretch.columns[1]
        if self.answers_back:
            begins = self.begins(workload, stage)
            times = stretch.times[begins]
        else:
            begins = np.array([not item.after for item in self.case.stages])[stage]
            ways = np.array([item.way for item in self.case.stages])[stage]
            if self.network is not None:
                ways += stretch.columns[self._network_at] - np.array([item.network for item in self.case.stages])[stage]
            if self.chooses:
                ways[self.passes_by(slice(first, first + len(stage)))] = 0
            times = (stretch.times + ways)[begins]
        times = np.concatenate([late.times, times])
        rows = np.concatenate([late.columns[0], np.flatnonzero(begins) + first])
        order = np.argsort(times, kind="stable")
        return Stretch(times[order], [rows[order]])

    def _draw_chunk(self, workload: int, attempt: int, chunk: int) -> list[list[Any]]:
        return [column.tolist() for column in self.drawing.columns(workload, attempt, chunk * _CHUNK, _CHUNK)]
