"""What one replication leaves behind: columns, one row per request, batch, replica and scaling decision.

The clock writes only what it alone knows: which batch took a request, and when batches ran. Everything else
(latencies, outcomes, the cause of every second) follows from these columns; see `simulator.closing`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from struct import Struct

import numpy as np
import numpy.typing as npt

from simulator.streams import Integers

BATCH_COLUMNS = 7
_NUMBER = Struct("q")
BATCH_ROW = Struct(f"{BATCH_COLUMNS}q")  # packing is several times faster than appending to an array
SLOT, IDLE_SINCE, START, END, SIZE, REASON, INSTANCE = range(BATCH_COLUMNS)
RUNNING = 2**62
"""The end of a batch while nobody knows it."""

_LOOK = 1024  # rows looked at together

COMPLETED, TIMED_OUT, IN_SYSTEM, REJECTED, FAILED = range(5)
OUTCOMES = ("completed", "timed out", "in system", "rejected", "failed")
CAUSES = ("network", "transfer", "overhead", "cold start", "queue", "batch wait", "compute", "retry wait")
"""What a second of a request can be spent on; they sum to its latency."""
NETWORK = CAUSES.index("network")
WAY = slice(CAUSES.index("cold start"))
"""Those of the way to a stage, until a request joins a queue there."""
STAGE_CAUSES = CAUSES[:-1]
"""Those that a visit to a stage can have."""


@dataclass
class ReplicaRecord:
    """The life of one replica, in nanoseconds; None while it has not come to that."""

    slot: int
    launched: int
    machine: int
    """The number of its machine in the pool."""
    ready: int | None = None
    drained: int | None = None
    """When it stopped taking requests."""
    stopped: int | None = None


@dataclass
class MachineRecord:
    """The life of one machine, in nanoseconds; not stopped while it has not come to that."""

    number: int
    """Its place among all machines that the pool has had."""
    zone: int
    """Position among the pool's zones."""
    launched: int
    stopped: int | None = None


@dataclass(frozen=True)
class ScalingRecord:
    """One decision of an autoscaler."""

    time: int
    desired: int
    ready: int
    reason: str


@dataclass
class Log:
    """What a pool writes down while the clock runs."""

    batches: bytearray = field(default_factory=bytearray)
    """Rows packed by `BATCH_ROW`, in the order in which batches were taken."""
    served: list[int] = field(default_factory=list)
    """Visits in the order in which they were taken into batches; the latest only, see `flush`."""
    flushed: list[Integers] = field(default_factory=list)
    """The earlier ones."""
    held: list[tuple[int, int]] = field(default_factory=list)
    """(visit, when it was sent on) of those that found no replica ready."""
    rejected: list[tuple[int, int]] = field(default_factory=list)
    """(visit, when) of those that the pool refused."""
    lost: list[tuple[int, int]] = field(default_factory=list)
    """(visit, when) of those whose replica died with them."""
    replicas: list[ReplicaRecord] = field(default_factory=list)
    machines: list[MachineRecord] = field(default_factory=list)
    scaling: list[ScalingRecord] = field(default_factory=list)

    def taken(self) -> int:
        """Visits taken into batches so far."""
        return sum(len(block) for block in self.flushed) + len(self.served)

    def flush(self) -> None:
        """Turns the latest served visits into a compact block."""
        self.flushed.append(np.array(self.served, dtype=np.int64))
        self.served.clear()

    def batch_count(self) -> int:
        """Batches taken so far."""
        return len(self._rows())

    def batch_rows(self, first: int = 0) -> Integers:
        """The batches from row `first` on, as rows of BATCH_COLUMNS numbers."""
        return self._rows()[first:].copy()  # a view would forbid the log to grow

    def complete(self, row: int, end: int) -> None:
        """Writes down when a batch has ended whose end was not known before."""
        _NUMBER.pack_into(self.batches, row * BATCH_ROW.size + END * _NUMBER.size, end)

    def cut(self, slot: int, instances: Iterable[int], now: int) -> None:
        """Ends the latest batch of these instances of a slot at `now`: their replica has died."""
        rows = self._rows()
        for instance in instances:
            end, found = len(rows), np.empty(0, dtype=np.int64)
            while not len(found):
                start = max(0, end - _LOOK)
                part = rows[start:end]
                found = start + np.flatnonzero((part[:, SLOT] == slot) & (part[:, INSTANCE] == instance))
                end = start
            latest = rows[found[-1]]
            latest[[IDLE_SINCE, START, END]] = np.minimum(latest[[IDLE_SINCE, START, END]], now)

    def _rows(self) -> Integers:
        return np.frombuffer(self.batches, dtype=np.int64).reshape(-1, BATCH_COLUMNS)


def busy_time(rows: Integers, since: int, until: int, common: bool) -> int:
    """Nanoseconds of service between two times, from rows of batches: of every instance by itself, or (`common`) of
    the devices that all instances of a replica share."""
    start, end = np.clip(rows[:, START], since, until), np.clip(rows[:, END], since, until)
    if common:
        order = np.lexsort((start, rows[:, SLOT]))
        start, end = start[order], end[order]
        for part in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(rows[order, SLOT])) + 1):
            # What counts of a batch is the time that no earlier one covers.
            start[part[1:]] = np.maximum(start[part[1:]], np.maximum.accumulate(end[part])[:-1])
    return int(np.maximum(end - start, 0).sum())


@dataclass(frozen=True)
class PoolRecord:
    """What one pool did during a replication."""

    batches: Integers
    """One row per batch: slot, idle since, start, end, size, reason, instance."""
    replicas: tuple[ReplicaRecord, ...]
    machines: tuple[MachineRecord, ...]
    scaling: tuple[ScalingRecord, ...]


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
    causes: Integers
    """One row per cause of `STAGE_CAUSES`, one column per visit: nanoseconds."""
    critical: npt.NDArray[np.bool_]
    """Whether the attempt's latency passes through it: of visits side by side, through the one that ends last."""


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
            for cause, spent in enumerate(visits.causes[:, visits.critical]):
                np.add.at(total[cause], requests, spent)
        np.add.at(total[NETWORK], self.request(np.arange(len(self.replies))), self.replies)
        total[-1] = self.latency - total.sum(axis=0)
        return total
