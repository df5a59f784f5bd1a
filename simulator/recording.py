"""What one replication leaves behind: columns, one row per request, batch, replica and scaling decision.

The clock writes only what it alone knows: which batch took a request, and when batches ran. Everything else
(latencies, outcomes, the cause of every second) follows from these columns, and is computed here.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace
from struct import Struct
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from simulator.streams import Integers

if TYPE_CHECKING:
    from simulator.case import Case
    from simulator.tape import Tape

BATCH_COLUMNS = 7
BATCH_ROW = Struct(f"{BATCH_COLUMNS}q")  # packing is several times faster than appending to an array
SLOT, IDLE_SINCE, START, END, SIZE, REASON, INSTANCE = range(BATCH_COLUMNS)

COMPLETED, TIMED_OUT, IN_SYSTEM, REJECTED = range(4)
OUTCOMES = ("completed", "timed out", "in system", "rejected")
_NEVER = np.iinfo(np.int64).max
CAUSES = ("cold start", "queue", "batch wait", "compute", "retry wait")
"""What a second of a request can be spent on; they sum to its latency."""


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


@dataclass
class Log:
    """What a pool writes down while the clock runs."""

    batches: bytearray = field(default_factory=bytearray)
    """Rows packed by `BATCH_ROW`, in the order in which batches were taken."""
    served: list[int] = field(default_factory=list)
    """Requests in the order in which they were taken into batches; the latest only, see `flush`."""
    flushed: list[Integers] = field(default_factory=list)
    """The earlier ones."""
    routed: bytearray = field(default_factory=bytearray)
    """By request: the balancer's reason code."""
    reached: array[int] = field(default_factory=lambda: array("q"))
    """By request: when it came to the pool."""
    held: list[tuple[int, int]] = field(default_factory=list)
    """(request, when it was sent on) of those that found no replica ready."""
    rejected: list[tuple[int, int]] = field(default_factory=list)
    """(request, when) of those that the pool refused."""
    replicas: list[ReplicaRecord] = field(default_factory=list)
    scaling: list[ScalingRecord] = field(default_factory=list)

    def taken(self) -> int:
        """Requests taken into batches so far."""
        return sum(len(block) for block in self.flushed) + len(self.served)

    def flush(self) -> None:
        """Turns the latest served requests into a compact block."""
        self.flushed.append(np.array(self.served, dtype=np.int64))
        self.served.clear()

    def batch_rows(self, first: int = 0) -> Integers:
        """The batches from row `first` on, as rows of BATCH_COLUMNS numbers."""
        rows = np.frombuffer(memoryview(self.batches)[first * BATCH_ROW.size :], dtype=np.int64)
        return rows.reshape(-1, BATCH_COLUMNS).copy()  # a view would forbid the log to grow


@dataclass(frozen=True)
class Visits:
    """One pool's part in a replication, by attempt: a row for each time that a client sent a request."""

    batches: Integers
    """One row per batch: slot, idle since, start, end, size, reason, instance."""
    batch_of: Integers
    """By attempt: the row of its batch; -1 when it never got into one."""
    routed: npt.NDArray[np.uint8]
    causes: Integers
    """One row per cause, one column per attempt: nanoseconds spent in this pool."""
    replicas: tuple[ReplicaRecord, ...]
    scaling: tuple[ScalingRecord, ...]


@dataclass(frozen=True)
class Replication:
    """One replication, by columns; times in nanoseconds, requests ascending by arrival."""

    number: int
    until: int
    """The end of the measured time; requests still under way were followed to their end."""
    arrived: Integers
    workload: npt.NDArray[np.uint8]
    latency: Integers
    """Until the answer, or until the client gave up."""
    outcome: npt.NDArray[np.uint8]
    pools: tuple[Visits, ...]
    request_of: Integers | None = None
    """By attempt: the request that it belongs to; None when each request was sent once."""
    sent: Integers | None = None
    """By attempt: when it was sent; None when each request was sent once."""

    def causes(self) -> Integers:
        """One row per cause, one column per request: they sum to the latency."""
        spent = sum(pool.causes for pool in self.pools[1:]) + self.pools[0].causes
        total = np.zeros((len(CAUSES), len(self.arrived)), dtype=np.int64)
        if self.request_of is None:
            total[:-1] = spent
            return total
        for cause, column in enumerate(spent):
            np.add.at(total[cause], self.request_of, column)
        total[-1] = self.latency - total.sum(axis=0)
        return total


def close(case: Case, number: int, tape: Tape, logs: list[Log], stopped: int, origin: array[int] | None) -> Replication:
    """Turns the columns of a run that ended at `stopped` into a replication.

    `origin` holds, by attempt, the first attempt at the same request; None when each request was sent once.
    """
    first = np.array(tape.arrived, dtype=np.int64)
    workload = np.array(tape.workload, dtype=np.uint8)
    patience = np.array([item.timeout or _NEVER for item in case.workloads], dtype=np.int64)[workload]
    deadline = first + np.minimum(patience, _NEVER - first)
    horizon = np.minimum(deadline, stopped)
    limit, left, gone = horizon.copy(), first + _patience(tape, len(first)), np.zeros(len(first), dtype=bool)
    rejected = np.zeros(len(first), dtype=bool)
    for log in logs:
        for attempt, time in log.rejected:
            rejected[attempt] = time < deadline[attempt]
            limit[attempt] = min(limit[attempt], time)
    finish, done = first.copy(), np.ones(len(first), dtype=bool)
    pools = []
    for position, log in enumerate(logs):
        visits = np.array([position in item.pools for item in case.workloads])[workload] & done
        log.flush()
        batches = log.batch_rows()
        batch_of = _batch_of(log, batches, len(first))
        unserved = visits & (batch_of < 0)
        leaves = np.maximum(left, np.array(log.reached))
        gone |= unserved & (leaves <= limit)
        limit[unserved] = np.minimum(limit, leaves)[unserved]
        stamps = _stamps(log, batches, batch_of, visits, limit)
        finish[visits] = stamps[-1][visits]
        done &= (batch_of >= 0) | ~visits
        pools.append(
            Visits(
                batches=batches,
                batch_of=batch_of,
                routed=np.frombuffer(bytes(log.routed), dtype=np.uint8),
                causes=np.diff(stamps, axis=0),
                replicas=tuple(log.replicas),
                scaling=tuple(log.scaling),
            )
        )
    outcome = np.where(done, COMPLETED, IN_SYSTEM).astype(np.uint8)
    outcome[(finish >= deadline) | gone] = TIMED_OUT
    outcome[rejected] = REJECTED
    run = Replication(number, case.duration, first, workload, finish - first, outcome, tuple(pools))
    return run if origin is None else _by_request(run, np.array(origin, dtype=np.int64))


def _by_request(run: Replication, origin: Integers) -> Replication:
    """A replication by attempt as one by request: from its first attempt to the end of its last."""
    attempts = np.arange(len(origin))
    firsts = np.flatnonzero(origin == attempts)
    firsts = firsts[np.argsort(run.arrived[firsts], kind="stable")]
    last = np.zeros(len(origin), dtype=np.int64)
    np.maximum.at(last, origin, attempts)
    last, place = last[firsts], np.empty(len(origin), dtype=np.int64)
    place[firsts] = np.arange(len(firsts))
    return replace(
        run,
        arrived=run.arrived[firsts],
        workload=run.workload[firsts],
        latency=run.arrived[last] + run.latency[last] - run.arrived[firsts],
        outcome=run.outcome[last],
        request_of=place[origin],
        sent=run.arrived,
    )


def _patience(tape: Tape, attempts: int) -> Integers:
    """Nanoseconds after which each client leaves the queue."""
    if tape.patience is None:
        return np.full(attempts, _NEVER // 2, dtype=np.int64)
    found: Integers = np.ceil(np.minimum(np.array(tape.patience), float(_NEVER // 2))).astype(np.int64)
    return found


def _batch_of(log: Log, batches: Integers, requests: int) -> Integers:
    batch_of = np.full(requests, -1, dtype=np.int64)
    batch_of[np.concatenate(log.flushed)] = np.repeat(np.arange(len(batches)), batches[:, SIZE])
    return batch_of


def _stamps(
    log: Log, batches: Integers, batch_of: Integers, visits: npt.NDArray[np.bool_], limit: Integers
) -> Integers:
    """Five stamps of each request in a pool: came, sent to a line, its turn, started, left.

    A request's turn has come when a replica was free to take it: from then on it waits only for its batch to
    fill. No stamp lies beyond `limit`, where the client gives up, the pool refuses or the run ends.
    """
    came = np.where(visits, np.array(log.reached, dtype=np.int64), 0)
    sent, free, start, end = came.copy(), limit.copy(), limit.copy(), limit.copy()
    for request, time in log.held:
        sent[request] = time
    served = batch_of >= 0
    rows = batch_of[served]
    for stamp, column in ((free, IDLE_SINCE), (start, START), (end, END)):
        stamp[served] = batches[:, column][rows]
    stamps: Integers = np.minimum(np.stack([came, sent, np.clip(free, sent, start), start, end]), limit)
    stamps[:, ~visits] = 0
    return stamps
