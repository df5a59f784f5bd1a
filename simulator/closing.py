"""The end of a replication: from what the clock wrote down to latencies, outcomes and the cause of every second."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import numpy as np

from simulator.case import Case, CaseStage
from simulator.recording import (
    BATCH_COLUMNS,
    COMPLETED,
    END,
    IDLE_SINCE,
    IN_SYSTEM,
    REJECTED,
    SIZE,
    START,
    TIMED_OUT,
    Log,
    PoolRecord,
    Replication,
    Visits,
)
from simulator.streams import Integers
from simulator.tape import Tape

_NEVER = np.iinfo(np.int64).max // 4


def close(
    case: Case, number: int, tape: Tape, logs: Sequence[Log], stopped: int, origin: array[int] | None
) -> Replication:
    """Turns the columns of a run that ended at `stopped` into a replication.

    `origin` holds, by row, the first row of the request's first attempt; None when each request was sent once.
    """
    closing = _Closing(case, tape, logs, stopped)
    run = closing.replication(number)
    return run if origin is None else _by_request(run, closing.attempt_of[np.array(origin)[closing.first]])


class _Closing:
    """The columns of a run: by row of the tape, and by attempt."""

    def __init__(self, case: Case, tape: Tape, logs: Sequence[Log], stopped: int) -> None:
        self.case, self.logs = case, logs
        workload, stage = np.array(tape.workload), np.array(tape.stage)
        begins = np.array([item.stages[0] for item in case.workloads])[workload] == stage
        self.first = np.flatnonzero(begins)
        """By attempt: its first row."""
        self.attempt_of = np.cumsum(begins) - 1
        """By row."""
        self.routed = np.frombuffer(bytes(tape.routed), dtype=np.uint8)
        self.workload = workload[self.first]
        self.arrived = np.array(tape.arrived)[self.first]
        timeouts = np.array([item.timeout or _NEVER for item in case.workloads], dtype=np.int64)
        self.deadline = np.minimum(self.arrived + timeouts[self.workload], _NEVER)
        self.limit = np.minimum(self.deadline, stopped)
        """By attempt: no second beyond it counts, as the client gives up, a pool refuses or the run ends."""
        self.leaves = self.arrived + _patience(tape, self.first)
        """By attempt: when its client leaves a queue."""
        self.ends, self.replies = self.arrived.copy(), np.zeros(len(self.first), dtype=np.int64)
        self.completed, self.gone, self.refused = np.zeros((3, len(self.first)), dtype=bool)
        self.sent: dict[int, int] = {}
        """By row: when it was sent to a line, where no replica was ready before."""
        self.batches: list[Integers] = []
        self.batch_of = np.full(len(stage), -1, dtype=np.int64)
        for log in logs:
            self._read(log)
        self.visits: list[Visits] = [_NONE] * len(case.stages)
        for stages in dict.fromkeys(item.stages for item in case.workloads):
            self._model(stages)

    def _read(self, log: Log) -> None:
        log.flush()
        rows = log.batch_rows()
        self.batch_of[np.concatenate(log.flushed)] = np.repeat(np.arange(len(rows)), rows[:, SIZE])
        self.batches.append(rows)
        self.sent.update(log.held)
        for row, time in log.rejected:
            attempt = self.attempt_of[row]
            self.refused[attempt] |= time < self.deadline[attempt]
            self.limit[attempt] = min(self.limit[attempt], time)

    def _model(self, stages: tuple[int, ...]) -> None:
        """Follows all attempts that pass the same stages."""
        chosen = np.flatnonzero(np.array([item.stages == stages for item in self.case.workloads])[self.workload])
        rows = {number: self.first[chosen] + place for place, number in enumerate(stages)}
        begins: dict[int, Integers] = {}
        ends: dict[int, Integers] = {}
        for number in stages:
            stage = self.case.stages[number]
            begins[number] = reduce(np.maximum, (ends[before] for before in stage.after), self.arrived[chosen])
            ends[number] = self._column(stage.pool, rows[number], END)
            unserved = (ends[number] == _NEVER) & (begins[number] < _NEVER)
            leaves = np.maximum(self.leaves[chosen], begins[number] + stage.way)
            gone = unserved & (leaves <= self.limit[chosen])
            self.gone[chosen] |= gone
            self.limit[chosen] = np.where(gone, leaves, self.limit[chosen])
        last = np.stack([np.where(begins[number] < _NEVER, ends[number], -1) for number in stages])
        critical = _critical(self.case, stages, ends, last)
        for place, number in enumerate(stages):
            came = begins[number] < _NEVER
            visits = self._visits(self.case.stages[number], chosen[came], rows[number][came], begins[number][came])
            self.visits[number] = replace(visits, critical=critical[place][came])
        replies = np.array([item.reply for item in self.case.workloads])[self.workload[chosen]]
        whole = last.max(axis=0)
        self.completed[chosen] = whole < _NEVER
        self.ends[chosen] = np.minimum(whole + replies, self.limit[chosen])
        self.replies[chosen] = self.ends[chosen] - np.minimum(whole, self.limit[chosen])

    def _column(self, pool: int, rows: Integers, column: int) -> Integers:
        """A stamp of the batches of rows; never where they got into none."""
        nothing = np.full((1, BATCH_COLUMNS), _NEVER)  # what -1 means
        found: Integers = np.concatenate([self.batches[pool], nothing])[self.batch_of[rows], column]
        return found

    def _visits(self, stage: CaseStage, attempts: Integers, rows: Integers, came: Integers) -> Visits:
        """Eight stamps of each visit, and what lies between: set out, passed the network, was transferred, joined a
        queue, was sent to a line, its turn, started, left.

        A visit's turn has come when a replica was free to take it: from then on it waits only for its batch to fill.
        """
        passed = came + stage.network
        joined = came + stage.way
        sent = joined.copy()
        if self.sent:
            held = np.flatnonzero(np.isin(rows, np.fromiter(self.sent, dtype=np.int64)))
            sent[held] = [self.sent[row] for row in rows[held].tolist()]
        free, start, end = (self._column(stage.pool, rows, column) for column in (IDLE_SINCE, START, END))
        turn = np.clip(free, sent, start)
        spent, limit = {}, self.limit[attempts]
        before = np.minimum(came, limit)
        for cause, stamp in enumerate((passed, passed + stage.transfer, joined, sent, turn, start, end)):
            after = np.minimum(stamp, limit)
            if (lasted := after - before).any():
                spent[cause] = lasted
            before = after
        return Visits(
            attempt=attempts,
            batch_of=self.batch_of[rows],
            routed=self.routed[rows],
            came=came,
            spent=spent,
            critical=np.ones(len(rows), dtype=bool),
        )

    def replication(self, number: int) -> Replication:
        """The replication by attempt."""
        outcome = np.where(self.completed, COMPLETED, IN_SYSTEM).astype(np.uint8)
        outcome[(self.ends >= self.deadline) | self.gone] = TIMED_OUT
        outcome[self.refused] = REJECTED
        return Replication(
            number=number,
            until=self.case.duration,
            arrived=self.arrived,
            workload=self.workload,
            latency=self.ends - self.arrived,
            outcome=outcome,
            visits=tuple(self.visits),
            pools=tuple(
                PoolRecord(rows, tuple(log.replicas), tuple(log.scaling))
                for rows, log in zip(self.batches, self.logs, strict=True)
            ),
            replies=self.replies,
        )


_EMPTY = np.empty(0, dtype=np.int64)
_NONE = Visits(_EMPTY, _EMPTY, _EMPTY.astype(np.uint8), _EMPTY, {}, _EMPTY.astype(bool))


def _critical(case: Case, stages: tuple[int, ...], ends: dict[int, Integers], last: Integers) -> np.ndarray:
    """By place among the stages and attempt: whether the latency passes through that visit.

    The last visit to end is; so is, of the visits that it waited for, the last to end, and so on back.
    """
    found = np.zeros(last.shape, dtype=bool)
    latest = len(stages) - 1 - last[::-1].argmax(axis=0)
    found[latest, np.arange(last.shape[1])] = True
    for place in range(len(stages) - 1, -1, -1):
        before = case.stages[stages[place]].after
        if before:
            slowest = np.array([stages.index(number) for number in before])[
                np.stack([ends[number] for number in before]).argmax(axis=0)
            ]
            where = np.flatnonzero(found[place])
            found[slowest[where], where] = True
    return found


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
    )


def _patience(tape: Tape, first: Integers) -> Integers:
    """Nanoseconds after which each client leaves the queue."""
    if tape.patience is None:
        return np.full(len(first), _NEVER, dtype=np.int64)
    found: Integers = np.ceil(np.minimum(np.array(tape.patience)[first], float(_NEVER))).astype(np.int64)
    return found
