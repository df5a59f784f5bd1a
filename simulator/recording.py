"""What one replication leaves behind: columns, one row per request, batch, replica and scaling decision.

The clock writes only what it alone knows: which batch took a request, and when batches ran. Everything else
(latencies, outcomes, the cause of every second) follows from these columns; see `simulator.closing`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from simulator.streams import Integers

BATCH_COLUMNS = 7
BATCH_ROW = Struct(f"{BATCH_COLUMNS}q")  # packing is several times faster than appending to an array
SLOT, IDLE_SINCE, START, END, SIZE, REASON, INSTANCE = range(BATCH_COLUMNS)

COMPLETED, TIMED_OUT, IN_SYSTEM, REJECTED = range(4)
OUTCOMES = ("completed", "timed out", "in system", "rejected")
CAUSES = ("network", "transfer", "overhead", "cold start", "queue", "batch wait", "compute", "retry wait")
"""What a second of a request can be spent on; they sum to its latency."""
NETWORK = CAUSES.index("network")
STAGE_CAUSES = CAUSES[:-1]
"""Those that a visit to a stage can have."""


@dataclass
class ReplicaRecord:
    """The life of one replica, in nanoseconds; None while it has not come to that."""

    slot: int
    launched: int
    ready: int | None = None
    drained: int | None = None
    """When it stopped taking requests."""
    stopped: int | None = None


@dataclass(frozen=True)
class ScalingRecord:
    """One decision of an autoscaler."""

    time: int
    desired: int
    ready: int
    reason: str


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
    dropped: Integers
    """Visits that were taken out of a queue because their clients had given up."""


@dataclass
class Log:
    """What a pool writes down while the clock runs. Each visit that comes is served, rejected or dropped once."""

    batches: bytearray = field(default_factory=bytearray)
    """Rows packed by `BATCH_ROW`."""
    served: list[int] = field(default_factory=list)
    """As in `Entries`, like those below; of these four the latest only, see `flush`."""
    held: list[tuple[int, int]] = field(default_factory=list)
    rejected: list[tuple[int, int]] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    replicas: list[ReplicaRecord] = field(default_factory=list)
    scaling: list[ScalingRecord] = field(default_factory=list)
    watched: bool = False
    """Whether somebody asks for the news."""
    _blocks: dict[str, list[Integers]] = field(default_factory=lambda: {name: [] for name in Entries._fields[1:]})
    _ended: int = 0
    _told: int = 0
    _untold: list[Integers] = field(default_factory=list)

    def ended(self) -> int:
        """Visits that have been taken into batches, rejected or dropped so far."""
        return self._ended + len(self.served) + len(self.rejected) + len(self.dropped)

    def flush(self) -> None:
        """Turns the latest visits into compact blocks."""
        self._ended = self.ended()
        for name, blocks in self._blocks.items():
            if latest := getattr(self, name):
                blocks.append(np.array(latest, dtype=np.int64))
                latest.clear()

    def take(self) -> Entries:
        """Everything that was written; the log is empty afterwards."""
        self.flush()
        rows = self.batch_rows()
        if self.watched:
            self._untold.append(rows[self._told :])
        del self.batches[:]
        self._told = 0
        found = {name: np.concatenate(blocks) if blocks else _NOTHING[name] for name, blocks in self._blocks.items()}
        for blocks in self._blocks.values():
            blocks.clear()
        return Entries(rows, **found)

    def news(self) -> Integers:
        """The batches that were taken since this was asked last."""
        fresh = self.batch_rows(self._told)
        self._told += len(fresh)
        fresh = np.concatenate([*self._untold, fresh])
        self._untold.clear()
        return fresh

    def batch_rows(self, first: int = 0) -> Integers:
        """The batches from row `first` on."""
        # A copy: a view would forbid the log to grow.
        return np.frombuffer(self.batches[first * BATCH_ROW.size :], dtype=np.int64).reshape(-1, BATCH_COLUMNS)


_NOTHING = {name: np.empty((0, 2) if name in ("held", "rejected") else 0, np.int64) for name in Entries._fields[1:]}


@dataclass(frozen=True)
class PoolRecord:
    """What one pool did during a replication."""

    batches: Integers
    """One row per batch: slot, idle since, start, end, size, reason, instance."""
    replicas: tuple[ReplicaRecord, ...]
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
