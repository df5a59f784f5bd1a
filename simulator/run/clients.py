"""Clients that answer back: they give up, try again, and send their next request after an answer.

Only workloads with retries, closed loops or a bound on what is under way are followed; the others cost nothing here.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappush
from typing import TYPE_CHECKING

from simulator.arrivals import Answered
from simulator.run.capped import Capped
from simulator.run.clock import ARRIVAL, RETRY, TIMEOUT, Clock, place

if TYPE_CHECKING:
    from simulator.case import Case
    from simulator.parts import CaseWorkload
    from simulator.run.flow import Flow
    from simulator.run.tape import Tape

_CHUNK = 1 << 10
_TOKEN = 10**9  # a retry, in the unit of the budget
_RESERVE = 10 * _TOKEN
_PAUSE = 10**6  # after a failure: a refused user without time to think would send for ever in one moment


class _Workload:
    """What the clients of one workload are about to do."""

    def __init__(self, number: int, case: CaseWorkload, tape: Tape) -> None:
        self.number, self.case = number, case
        self.followed = case.answers_back
        self.answered = case.arrivals if isinstance(case.arrivals, Answered) else None
        self.sequel = self.answered.sequel(tape.draws, case.name) if self.answered else None
        self.waits = case.retries.waits() if case.retries else []
        self.share = None if case.retries is None or case.retries.budget is None else case.retries.budget
        self.earned = 0 if self.share is None else int(self.share * _TOKEN)
        self.tokens = _RESERVE
        self.queue: deque[int] = deque()
        """Attempts in the order in which their clients give up."""
        self.armed = False
        self._draws = tape.draws
        self._thoughts = functools.lru_cache(256)(self._draw_thoughts)
        self._jitter = functools.lru_cache(256)(self._draw_jitter)

    def thought(self, index: int) -> int:
        """Nanoseconds of thinking before request `index`."""
        return self._thoughts(index // _CHUNK)[index % _CHUNK]

    def wait(self, index: int, attempt: int) -> int:
        """Nanoseconds before retry `attempt` (from 1) of request `index`."""
        whole = self.waits[attempt - 1]
        assert self.case.retries is not None
        if not self.case.retries.jitter:
            return whole
        return whole - int(whole * self.case.retries.jitter * self._jitter(attempt, index // _CHUNK)[index % _CHUNK])

    def _draw_thoughts(self, chunk: int) -> list[int]:
        assert self.answered is not None
        found: list[int] = self.answered.thoughts(self._draws, self.case.name, chunk * _CHUNK, _CHUNK).tolist()
        return found

    def _draw_jitter(self, attempt: int, chunk: int) -> list[float]:
        stream = f"backoff/{attempt}"
        found: list[float] = self._draws.uniform(stream, self.case.name, chunk * _CHUNK, _CHUNK).tolist()
        return found


class Clients:
    """All clients of one replication. An attempt is known by its first row."""

    def __init__(self, clock: Clock, tape: Tape, case: Case, flow: Flow) -> None:
        self.clock, self.tape, self.flow, self.until = clock, tape, flow, case.duration
        self.workloads = [_Workload(number, item, tape) for number, item in enumerate(case.workloads)]
        self.attempt, self.open = tape.attempt, tape.open
        self.coming = 0
        """Attempts that are sure to follow: retries, users who think, and clients about to send what is due."""
        self.capped = {
            number: self._capped(workload, item.max_concurrency)
            for number, (workload, item) in enumerate(zip(self.workloads, case.workloads, strict=True))
            if item.max_concurrency is not None
        }
        """By workload."""

    def send(self, row: int, now: int) -> None:
        """An attempt is sent."""
        workload = self.workloads[self.tape.workload[row]]
        if workload.followed:
            if not self.attempt[row]:
                workload.tokens = min(workload.tokens + workload.earned, _RESERVE)
            if workload.case.timeout is not None:
                workload.queue.append(row)
                if not workload.armed:
                    self._arm(workload)
        self.flow.begin(row, place(ARRIVAL, 0, self.tape.number[row]), now)

    def answered(self, row: int, now: int) -> None:
        """The answer to an attempt has come."""
        workload = self.workloads[self.tape.workload[row]]
        if workload.followed and self.open[row]:
            self.open[row] = 0
            if workload.number in self.capped:
                self.capped[workload.number].ended(now)
            elif workload.sequel:
                self._think(workload, workload.sequel.answered(self.tape.index[row]), row, now)

    def failed(self, visit: int, now: int) -> None:
        """A visit was refused, or the client of its attempt has given up."""
        row = self.tape.first(visit)
        workload = self.workloads[self.tape.workload[row]]
        if not (workload.followed and self.open[row]):
            return
        self.open[row] = 0
        attempt = self.attempt[row] + 1
        if attempt <= len(workload.waits) and (workload.share is None or workload.tokens >= _TOKEN):
            if workload.share is not None:
                workload.tokens -= _TOKEN
            tape, index = self.tape, self.tape.index[row]
            tape.again[row] = 1
            again = functools.partial(self._send, workload, index, attempt, tape.origin[row])
            self._at(now + workload.wait(index, attempt), RETRY, row, again)
        elif workload.number in self.capped:
            self.capped[workload.number].ended(now)
        elif workload.sequel:
            self._think(workload, workload.sequel.failed(self.tape.index[row]), row, now, _PAUSE)

    def _think(self, workload: _Workload, following: Sequence[int], row: int, now: int, least: int = 0) -> None:
        """Who has an answer thinks, and sends the next requests if there are any."""
        if not following:
            return
        time = now + max(workload.thought(following[0]), least)
        if time < self.until:
            self._at(time, ARRIVAL, row, functools.partial(self._go_on, workload, following))

    def _capped(self, workload: _Workload, most: int) -> Capped:
        number, name = workload.number, workload.case.name
        stamps = workload.case.arrivals.stamps(self.tape.draws, name, self.until)

        def at(time: int, go: Callable[[int], None]) -> None:
            def come(now: int) -> None:
                self.coming -= 1
                go(now)

            self.coming += 1
            heappush(self.clock.agenda, (time, place(ARRIVAL, 0, 0), 1 + number, come))

        def send(index: int, now: int) -> None:
            self.send(self.tape.append(number, index, 0, None, now), now)

        return Capped(most, (block.tolist() for block in stamps), self.until, send, at)

    def _at(self, time: int, rank: int, row: int, what: Callable[[int], None]) -> None:
        self.coming += 1
        heappush(self.clock.agenda, (time, place(rank, 0, self.tape.number[row]), 0, what))

    def _go_on(self, workload: _Workload, numbers: Sequence[int], now: int) -> None:
        """The next requests after some."""
        self.coming -= 1
        for number in numbers:
            self.send(self.tape.append(workload.number, number, 0, None, now), now)

    def _send(self, workload: _Workload, index: int, attempt: int, origin: int, now: int) -> None:
        """The next attempt at a request."""
        self.coming -= 1
        self.send(self.tape.append(workload.number, index, attempt, origin, now), now)

    def _arm(self, workload: _Workload) -> None:
        """Sets the timer to the next client who may give up."""
        queue, assured = workload.queue, workload.case.timeout
        assert assured is not None
        while queue and not self.open[queue[0]]:
            queue.popleft()
        workload.armed = bool(queue)
        if queue:
            due = self.tape.arrived[queue[0]] + assured
            ring = functools.partial(self._give_up, workload)
            heappush(self.clock.agenda, (due, place(TIMEOUT, 0, workload.number), 0, ring))

    def _give_up(self, workload: _Workload, now: int) -> None:
        """The time-out of the first in the queue has passed."""
        queue = workload.queue
        assert workload.case.timeout is not None
        limit = now - workload.case.timeout
        while queue and self.tape.arrived[queue[0]] <= limit:
            self.failed(queue.popleft(), now)
        self._arm(workload)
