"""From what the clock wrote down to latencies, outcomes and the cause of every second, for any stretch of the tape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np

from simulator.case import Case
from simulator.llm.service import OUTPUT, PROMPT, Steps
from simulator.parts import CaseStage
from simulator.quantities import NEVER
from simulator.run.columns import NO_VISITS, by_request, joined
from simulator.run.recording import (
    COMPLETED,
    FAILED,
    IN_SYSTEM,
    OVERHEAD,
    REJECTED,
    RUNNING,
    TIMED_OUT,
    TRANSFER,
    Log,
    PoolRecord,
    Replication,
    Visits,
)
from simulator.run.stamps import Stamps
from simulator.run.tape import Tape
from simulator.streams import Integers

_ROWS = 1 << 16
"""Rows that are closed at once, so that what is needed for it is no longer than that."""


def close(case: Case, number: int, tape: Tape, logs: Sequence[Log], stopped: int) -> Replication:
    """Turns the columns of a run that ended at `stopped` into a replication; they are empty afterwards."""
    stamps, pools = Stamps(len(tape.arrived)), []
    for log in logs:
        log.since = RUNNING
        entries = log.take(RUNNING)
        stamps.note(entries)
        lives, (batches, used, engines) = log.lives(), (entries.batches, entries.used, entries.engines)
        pools.append(PoolRecord(**vars(lives), batches=batches, used=used, engines=engines, readings=log.readings))
    begins = tape.begins(np.array(tape.workload), np.array(tape.stage))
    parts = [_Closing(case, tape, stamps, *rows, stopped).attempts() for rows in _stretches(begins)]
    origin = (np.cumsum(begins) - 1)[np.array(tape.origin)[begins]] if tape.answers_back else None
    del stamps
    tape.clear()
    run = replace(joined(parts), number=number, pools=tuple(pools))
    return run if origin is None else by_request(run, origin)


def attempts(case: Case, tape: Tape, stamps: Stamps, first: int, end: int, stopped: int = NEVER) -> Replication:
    """The attempts of the rows from `first` up to `end`, as if each were a request; no pools."""
    return _Closing(case, tape, stamps, first, end, stopped).attempts()


def _stretches(begins: np.ndarray) -> Iterator[tuple[int, int]]:
    """Stretches of whole attempts, as (first row, one past the last)."""
    first = 0
    while first < len(begins) or not first:
        end = first + _ROWS
        end = end + int(begins[end:].argmax()) if end < len(begins) and begins[end:].any() else len(begins)
        yield first, end
        first = max(end, 1)


class _Closing:
    """The columns of a stretch of the tape: by row of it, and by attempt."""

    def __init__(self, case: Case, tape: Tape, stamps: Stamps, first: int, end: int, stopped: int) -> None:
        self.case, self.stamps, self.rows = case, stamps, slice(first, end)
        workload, stage = np.array(tape.workload[self.rows]), np.array(tape.stage[self.rows])
        begins = tape.begins(workload, stage)
        self.first = np.flatnonzero(begins)
        """By attempt: its first row."""
        self.routed = np.frombuffer(bytes(tape.routed[self.rows]), dtype=np.uint8)
        self.workload = workload[self.first]
        self.past = tape.passes_by(self.rows) if tape.chooses else None
        """By row: whether the request passes by the stage; None where none does."""
        self.network = None if tape.network is None else np.array(tape.network[self.rows])
        """By row."""
        self.arrived = np.array(tape.arrived[self.rows])[self.first]
        timeouts = np.array([item.timeout or NEVER for item in case.workloads], dtype=np.int64)
        self.deadline = np.minimum(self.arrived + timeouts[self.workload], NEVER)
        self.limit = np.minimum(self.deadline, stopped)
        """By attempt: no second beyond it counts, as the client gives up, a pool refuses or the run ends."""
        self.leaves = self.arrived + _patience(tape, self.rows, self.first)
        """By attempt: when its client leaves a queue."""
        self.ends, self.replies = self.arrived.copy(), np.zeros(len(self.first), dtype=np.int64)
        self.completed, self.gone = np.zeros((2, len(self.first)), dtype=bool)
        attempt_of = np.cumsum(begins) - 1
        refused, failed = (self._earliest(found[self.rows], attempt_of) for found in (stamps.refused, stamps.lost))
        self.refused = (refused < self.deadline) & (refused <= failed)
        self.failed = (failed < self.deadline) & (failed < refused)
        self.limit = np.minimum(self.limit, np.minimum(refused, failed))
        self.visits: list[Visits] = [NO_VISITS] * len(case.stages)
        for stages in dict.fromkeys(item.stages for item in case.workloads):
            self._model(stages)
        self.tokens: dict[str, Integers] = {}
        self.timings = self._timings(tape)

    def _timings(self, tape: Tape) -> dict[str, Integers]:
        """By attempt: until the first token of its last LLM stage, for each after it, and until its first step."""
        engines = {number for number, stage in enumerate(self.case.stages) if isinstance(stage.service, Steps)}
        if not engines:
            return {}
        found = np.full((3, len(self.first)), -1, dtype=np.int64)
        prompts, outputs = (np.maximum(np.array(tape.sizes[name][self.rows]), 1) for name in (PROMPT, OUTPUT))
        self.tokens = {name: np.zeros(len(self.first), dtype=np.int64) for name in (PROMPT, OUTPUT)}
        for number, item in enumerate(self.case.workloads):
            places = [place for place, stage in enumerate(item.stages) if stage in engines]
            if not places:
                continue
            attempts = np.flatnonzero(self.workload == number)
            rows = self.first[attempts] + places[-1]
            first, end = self._tokens(item.stages, places, attempts)
            after = np.maximum(outputs[rows] - 1, 1)
            self.tokens[PROMPT][attempts], self.tokens[OUTPUT][attempts] = prompts[rows], outputs[rows]
            found[0, attempts] = np.where(first > 0, first + item.reply - self.arrived[attempts], 0)
            found[1, attempts] = np.where(outputs[rows] > 1, np.maximum(end - first, 0) // after, -1)
            starts = [self._served(self.stamps.start, self.first[attempts] + place) for place in places]
            begun = reduce(np.minimum, starts)
            found[2, attempts] = np.where(begun < NEVER, begun - self.arrived[attempts], 0)
        return dict(zip(("ttft", "tpot", "queue"), found, strict=True))

    def _tokens(self, stages: tuple[int, ...], places: list[int], attempts: Integers) -> tuple[Integers, Integers]:
        """When the first and the last token came of the last LLM stage of these attempts; zero where none did."""
        first, end = np.zeros((2, len(attempts)), dtype=np.int64)
        for place in places:
            rows, stage = self.first[attempts] + place, self.case.stages[stages[place]]
            here = slice(None) if self.past is None else ~self.past[rows]
            end[here] = self._ends(stages[place], rows)[here]
            if stage.receives is None or stage.receives.first_token != "prefill":
                first[here] = self.stamps.first[self.rows][rows][here]
        return first, end

    def _earliest(self, noted: Integers, attempt_of: Integers) -> Integers:
        """By attempt: the first of the times plus one that were noted of its visits; never where none was.

        `attempt_of` is the attempt by row.
        """
        found = np.full(len(self.first), NEVER, dtype=np.int64)
        rows = np.flatnonzero(noted)
        np.minimum.at(found, attempt_of[rows], noted[rows] - 1)
        return found

    def _model(self, stages: tuple[int, ...]) -> None:
        """Follows all attempts that pass the same stages."""
        chosen = np.flatnonzero(np.array([item.stages == stages for item in self.case.workloads])[self.workload])
        rows = {number: self.first[chosen] + place for place, number in enumerate(stages)}
        begins: dict[int, Integers] = {}
        ends: dict[int, Integers] = {}
        for number in stages:
            stage = self.case.stages[number]
            begins[number] = reduce(np.maximum, (ends[before] for before in stage.after), self.arrived[chosen])
            ends[number] = self._ended(number, rows[number])
            if self.past is not None:
                ends[number] = np.where(self.past[rows[number]], begins[number], ends[number])
            unserved = (ends[number] == NEVER) & (begins[number] < NEVER)
            ends[number][self.stamps.lost[self.rows][rows[number]] > 0] = NEVER
            leaves = np.maximum(self.leaves[chosen], begins[number] + self._way(stage, rows[number]))
            gone = unserved & (leaves <= self.limit[chosen])
            self.gone[chosen] |= gone
            self.limit[chosen] = np.where(gone, leaves, self.limit[chosen])
        last = np.stack([np.where(begins[number] < NEVER, ends[number], -1) for number in stages])
        critical = _critical(self.case, stages, ends, last)
        for place, number in enumerate(stages):
            came = begins[number] < NEVER
            if self.past is not None:
                came &= ~self.past[rows[number]]
            visits = self._visits(number, chosen[came], rows[number][came], begins[number][came])
            self.visits[number] = replace(visits, critical=critical[place][came])
        replies = np.array([item.reply for item in self.case.workloads])[self.workload[chosen]]
        whole = last.max(axis=0)
        self.completed[chosen] = whole < NEVER
        # An answer on its way arrives, though the run may end before.
        limit = np.where(whole < NEVER, self.deadline[chosen], self.limit[chosen])
        self.ends[chosen] = np.minimum(whole + replies, limit)
        self.replies[chosen] = self.ends[chosen] - np.minimum(whole, limit)

    def _way(self, stage: CaseStage, rows: Integers) -> Integers | int:
        """From the end of the stage before until visits join a queue."""
        return self._network(stage, rows) + stage.transfer + stage.overhead

    def _network(self, stage: CaseStage, rows: Integers) -> Integers | int:
        """How long visits to a stage were on the network."""
        return stage.network if self.network is None else self.network[rows]

    def _ends(self, number: int, rows: Integers) -> Integers:
        """When visits to a stage have ended; zero where they have not."""
        return self.stamps.left(self.case, number, self.rows.start + rows)

    def _ended(self, number: int, rows: Integers) -> Integers:
        """The same; never where they have not."""
        return _or_never(self._ends(number, rows))

    def _served(self, stamps: Integers, rows: Integers) -> Integers:
        """A stamp of the batches of rows; never where they got into none."""
        found: Integers = np.where(self.stamps.end[self.rows][rows] > 0, stamps[self.rows][rows], NEVER)
        return found

    def _visits(self, number: int, attempts: Integers, rows: Integers, came: Integers) -> Visits:
        """Eight stamps of each visit, and what lies between: set out, passed the network, was transferred, joined a
        queue, was sent to a line, its turn, started, left. Where an engine has a front end two more: was read by it,
        once it was sent to a line, and was answered; and one more where its keys and values were sent on after that.

        A visit's turn has come when a replica was free to take it: from then on it waits only for its batch to fill.
        """
        stage = self.case.stages[number]
        stamps, passed = self.stamps, came + self._network(stage, rows)
        joined = passed + stage.transfer + stage.overhead
        sent = np.maximum(joined, stamps.sent[self.rows][rows])
        free, start, end = (self._served(column, rows) for column in (stamps.free, stamps.start, stamps.end))
        read = np.maximum(sent, stamps.read[self.rows][rows])
        turn = np.clip(free, read, start)
        steps = list(enumerate((passed, passed + stage.transfer, joined, sent, turn, start, end)))
        if self.case.front_end(number) is not None:
            answered = _or_never(stamps.answered(self.case, number, self.rows.start + rows))
            steps = [*steps[:4], (OVERHEAD, read), *steps[4:], (OVERHEAD, answered)]
        if stage.sends is not None:
            steps.append((TRANSFER, self._ended(number, rows)))
        spent: dict[int, Integers] = {}
        limit = self.limit[attempts]
        before = np.minimum(came, limit)
        for cause, stamp in steps:
            after = np.minimum(stamp, limit)
            if (lasted := after - before).any():
                spent[cause] = spent.get(cause, 0) + lasted
            before = after
        return Visits(
            attempt=attempts,
            batch_of=np.where(end < NEVER, stamps.batch[self.rows][rows], -1),
            routed=self.routed[rows],
            came=self.arrived if np.array_equal(came, self.arrived) else came,  # no second copy of it is kept
            spent=spent,
            critical=np.ones(len(rows), dtype=bool),
        )

    def attempts(self) -> Replication:
        """What became of them."""
        outcome = np.where(self.completed, COMPLETED, IN_SYSTEM).astype(np.uint8)
        outcome[self.failed] = FAILED
        outcome[(self.ends >= self.deadline) | self.gone] = TIMED_OUT
        outcome[self.refused] = REJECTED
        return Replication(
            number=0,
            until=self.case.duration,
            arrived=self.arrived,
            workload=self.workload,
            latency=self.ends - self.arrived,
            outcome=outcome,
            visits=tuple(self.visits),
            pools=(),
            replies=self.replies,
            timings=self.timings,
            tokens=self.tokens,
        )


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


def _or_never(times: Integers) -> Integers:
    """Times; never where they are zero."""
    found: Integers = np.where(times > 0, times, NEVER)
    return found


def _patience(tape: Tape, rows: slice, first: Integers) -> Integers:
    """Nanoseconds after which each client leaves the queue."""
    if tape.patience is None:
        return np.full(len(first), NEVER, dtype=np.int64)
    found: Integers = np.ceil(np.minimum(np.array(tape.patience[rows])[first], float(NEVER))).astype(np.int64)
    return found
