"""What one replication leaves behind: columns, one row per request, batch, replica and scaling decision.

The clock writes only what it alone knows: which batch took a request, and when batches ran. Everything else
(latencies, outcomes, the cause of every second) follows from these columns; see `simulator.run.closing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from simulator.llm.readings import Readings
from simulator.quantities import NEVER
from simulator.run.lives import Lives, MachineRecord, ReplicaRecord, ScalingRecord
from simulator.streams import Integers

BATCH_COLUMNS = 7
_NUMBER = Struct("q")
BATCH_ROW = Struct(f"{BATCH_COLUMNS}q")  # packing is several times faster than appending to an array
SLOT, IDLE_SINCE, START, END, SIZE, REASON, INSTANCE = range(BATCH_COLUMNS)
RUNNING = NEVER
"""The end of a batch while nobody knows it."""

_LOOK = 1024  # rows looked at together

COMPLETED, TIMED_OUT, IN_SYSTEM, REJECTED, FAILED = range(5)
OUTCOMES = ("completed", "timed out", "in system", "rejected", "failed")
CAUSES = ("network", "transfer", "overhead", "cold start", "queue", "batch wait", "compute", "retry wait")
"""What a second of a request can be spent on; they sum to its latency."""
NETWORK, TRANSFER, OVERHEAD = (CAUSES.index(name) for name in ("network", "transfer", "overhead"))
WAY = slice(CAUSES.index("cold start"))
"""Those of the way to a stage, until a request joins a queue there."""
STAGE_CAUSES = CAUSES[:-1]
"""Those that a visit to a stage can have."""


class Entries(NamedTuple):
    """What a log held."""

    batches: Integers
    """Rows of BATCH_COLUMNS numbers, in the order in which batches were taken."""
    served: Integers
    """The visits in them, in the same order."""
    held: Integers
    """Rows of (visit, when it was sent on), of those that found no replica ready."""
    rejected: Integers
    """Rows of (visit, when), of those that the pool refused."""
    lost: Integers
    """Rows of (visit, when), of those whose replica died with them."""
    dropped: Integers
    """Visits that left a queue unserved: their clients had given up, or their replica died."""
    firsts: Integers
    """Rows of (visit, when), of those whose first token came: to the client, where a front end sends it."""
    handed: Integers
    """Rows of (visit, when), of prompts whose keys and values were sent to those who answer: when these had them."""
    read: Integers
    """Rows of (visit, when), of those that a front end had to read before they were at their engine."""
    used: Integers
    """Rows of (from, until), while a device that instances share had something to do."""
    engines: Integers
    """Rows of (when, requests, tokens of their prompts, of these found in the cache, preemptions, adapters loaded,
    workload): what engines began with; of what they ended how often it had lost its blocks, and its adapter had been
    loaded."""


_WIDTHS = {"held": 2, "rejected": 2, "lost": 2, "firsts": 2, "handed": 2, "read": 2, "used": 2, "engines": 7}


@dataclass
class Log:
    """What a pool writes down while the clock runs. Each visit that comes is served, rejected or dropped once."""

    batches: bytearray = field(default_factory=bytearray)
    """Rows packed by `BATCH_ROW`."""
    served: list[int] = field(default_factory=list)
    """As in `Entries`, like those below; of these nine the latest only, see `flush`."""
    held: list[tuple[int, int]] = field(default_factory=list)
    rejected: list[tuple[int, int]] = field(default_factory=list)
    lost: list[tuple[int, int]] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)
    """Rows one after the other, like those of engines: fewer objects for Python's garbage collector to look at."""
    handed: list[tuple[int, int]] = field(default_factory=list)
    read: list[tuple[int, int]] = field(default_factory=list)
    used: list[tuple[int, int]] = field(default_factory=list)
    engines: list[int] = field(default_factory=list)
    replicas: list[ReplicaRecord] = field(default_factory=list)
    machines: list[MachineRecord] = field(default_factory=list)
    scaling: list[ScalingRecord] = field(default_factory=list)
    readings: Readings | None = None
    """Of the gauges of LLM engines; None where there are none."""
    since: int = RUNNING
    """Batches that end from then on are asked for again."""
    _blocks: dict[str, list[Integers]] = field(default_factory=lambda: {name: [] for name in Entries._fields[1:]})
    _ended: int = 0
    _early: Integers = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """The numbers of the batches that stayed when others were taken out; `_next` is that of the batch after them."""
    _next: int = 0

    def lives(self) -> Lives:
        """The replicas, the machines and the decisions."""
        return Lives(tuple(self.replicas), tuple(self.machines), tuple(self.scaling))

    def ended(self) -> int:
        """Visits that have been taken into batches, rejected or dropped so far."""
        return self._ended + len(self.served) + len(self.rejected) + len(self.dropped)

    def flush(self) -> None:
        """Turns the latest visits into compact blocks."""
        self._ended = self.ended()
        if self.readings is not None:
            self.readings.flush()
        for name, blocks in self._blocks.items():
            if latest := getattr(self, name):
                rows = np.array(latest, dtype=np.int64)
                blocks.append(rows.reshape(-1, _WIDTHS[name]) if name in _WIDTHS else rows)
                latest.clear()

    def take(self, before: int) -> Entries:
        """Everything that was written but for the batches that ended no earlier than `before`: those stay."""
        self.flush()
        found = {name: _together(name, blocks) for name, blocks in self._blocks.items()}
        for blocks in self._blocks.values():
            blocks.clear()
        rows, served = self.batch_rows(), found.pop("served")
        stays = rows[:, END] >= min(before, self.since)
        if not stays.any():
            self._early, self._next = self._early[:0], self.batch_count()
            del self.batches[:]
            return Entries(rows, served, **found)
        own = np.repeat(stays, rows[:, SIZE])
        count = self.batch_count()
        self._early = np.concatenate([self._early, np.arange(self._next, count)])[stays]
        self._next, self.batches[:] = count, rows[stays].tobytes()
        self._blocks["served"].append(served[own])
        return Entries(rows[~stays], served[~own], **found)

    def batch_count(self) -> int:
        """Batches taken so far."""
        return len(self._rows()) + self._next - len(self._early)

    def batch_rows(self, first: int = 0) -> Integers:
        """Those that are here of the batches from number `first` on, as rows of BATCH_COLUMNS numbers."""
        return self._rows()[self._place(first) :].copy()  # a view would forbid the log to grow

    def latest(self, count: int) -> Integers:
        """The visits of the latest batches, so many."""
        parts, missing = [np.array(self.served[max(0, len(self.served) - count) :], np.int64)], count - len(self.served)
        for block in reversed(self._blocks["served"]):
            if missing <= 0:
                break
            parts.append(block[max(0, len(block) - missing) :])
            missing -= len(block)
        return np.concatenate(parts[::-1])

    def complete(self, batch: int, end: int) -> None:
        """Writes down when a batch has ended whose end was not known before."""
        _NUMBER.pack_into(self.batches, self._place(batch) * BATCH_ROW.size + END * _NUMBER.size, end)

    def cut(self, slot: int, instance: int, now: int) -> None:
        """Ends the latest batch of an instance of a slot at `now`: its replica has died."""
        rows = self._rows()
        end, found = len(rows), np.empty(0, dtype=np.int64)
        while not len(found):
            start = max(0, end - _LOOK)
            part = rows[start:end]
            found = start + np.flatnonzero((part[:, SLOT] == slot) & (part[:, INSTANCE] == instance))
            end = start
        latest = rows[found[-1]]
        latest[[IDLE_SINCE, START, END]] = np.minimum(latest[[IDLE_SINCE, START, END]], now)

    def _place(self, batch: int) -> int:
        """How many of the batches before this one are here."""
        if batch >= self._next:
            return batch - self._next + len(self._early)
        return int(np.searchsorted(self._early, batch))

    def _rows(self) -> Integers:
        return np.frombuffer(self.batches, dtype=np.int64).reshape(-1, BATCH_COLUMNS)


def _together(name: str, blocks: list[Integers]) -> Integers:
    return np.concatenate(blocks) if blocks else np.empty((0, _WIDTHS[name]) if name in _WIDTHS else 0, np.int64)


@dataclass(frozen=True)
class PoolRecord(Lives):
    """What one pool did during a replication."""

    batches: Integers
    """One row per batch: slot, idle since, start, end, size, reason, instance."""
    used: Integers
    """Rows of (from, until), while a device that instances share had something to do; none where they share none."""
    engines: Integers
    """As in `Entries`."""
    readings: Readings | None
    """As in `Log`."""


@dataclass(frozen=True)
class Visits:
    """The visits to one stage, by columns, in the order of their attempts: those that set out for it."""

    attempt: Integers
    """The attempt that a visit belongs to."""
    batch_of: Integers
    """The row of its batch; -1 when it never got into one."""
    routed: npt.NDArray[np.uint8]
    """The balancer's reason code."""
    came: Integers
    """When it set out for the stage, in nanoseconds."""
    spent: dict[int, Integers]
    """By position in `STAGE_CAUSES`: nanoseconds of each visit; nothing where no visit spent any."""
    critical: npt.NDArray[np.bool_]
    """Whether the attempt's latency passes through it: of visits side by side, through the one that ends last."""

    @property
    def causes(self) -> Integers:
        """One row per cause of `STAGE_CAUSES`, one column per visit: nanoseconds."""
        found = np.zeros((len(STAGE_CAUSES), len(self.came)), dtype=np.int64)
        for cause, spent in self.spent.items():
            found[cause] = spent
        return found


@dataclass(frozen=True)
class Replication:
    """One replication, by columns; times in nanoseconds, requests ascending by arrival.

    An attempt is one time that a client sends a request.
    """

    number: int
    until: int
    """The end of the measured time; requests still under way were followed to their end."""
    arrived: Integers
    workload: npt.NDArray[np.uint8]
    latency: Integers
    """Until the answer, or until the client gave up."""
    outcome: npt.NDArray[np.uint8]
    visits: tuple[Visits, ...]
    """By stage."""
    pools: tuple[PoolRecord, ...]
    replies: Integers
    """By attempt: nanoseconds in which the answer came back."""
    timings: Mapping[str, Integers] = field(default_factory=dict)
    """By name, as objectives have it (`ttft`, `tpot`), and request: nanoseconds; below zero where it has none."""
    tokens: Mapping[str, Integers] = field(default_factory=dict)
    """By name (`input_tokens`, `output_tokens`) and request: those that engines read and write."""
    request_of: Integers | None = None
    """By attempt: the request that it belongs to; None when each request was sent once."""

    def request(self, attempts: Integers) -> Integers:
        """The requests that attempts belong to."""
        return attempts if self.request_of is None else self.request_of[attempts]

    def causes(self) -> Integers:
        """One row per cause, one column per request: they sum to the latency."""
        total = np.zeros((len(CAUSES), len(self.arrived)), dtype=np.int64)
        for visits in self.visits:
            requests = self.request(visits.attempt[visits.critical])
            for cause, spent in visits.spent.items():
                np.add.at(total[cause], requests, spent[visits.critical])
        np.add.at(total[NETWORK], self.request(np.arange(len(self.replies))), self.replies)
        total[-1] = self.latency - total.sum(axis=0)
        return total
