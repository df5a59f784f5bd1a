"""The way of requests through the stages: to the first, from one to the next, and back to their clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from heapq import heappush
from typing import TYPE_CHECKING

from simulator.run.clock import HAND_OFF, Clock, place

if TYPE_CHECKING:
    from simulator.case import Case
    from simulator.run.clients import Clients
    from simulator.run.pool import PoolRun
    from simulator.run.tape import Tape


class Flow:
    """Sends visits on when others of their attempt have ended."""

    def __init__(self, clock: Clock, tape: Tape, case: Case, pools: Sequence[PoolRun]) -> None:
        self.agenda, self.tape, self.stage, self.reached = clock.agenda, tape, tape.stage, tape.reached
        self.stages, self.workloads, self.network = case.stages, case.workloads, tape.network
        self.pools = [pools[stage.pool] for stage in case.stages]
        self.clients: Clients | None = None
        """Who must hear of answers, if anybody."""
        self.only = [
            [(tape.sizes[condition.size], condition.test()) for condition in stage.only] for stage in case.stages
        ]
        """By stage: a column of the tape, and what must hold of a visit's entry in it; others pass the stage by."""
        self.alike = tape.network is None and not tape.chooses
        """Whether all ways to a stage take the same time."""
        self.next = [
            [
                (later - number, stage.way, len(stage.after))
                for later, stage in enumerate(case.stages)
                if number in stage.after
            ]
            for number in range(len(case.stages))
        ]
        """By stage: of the visits that follow, their distance on the tape, their way, and how many they wait for."""
        self.ends = [sum(not self.next[stage] for stage in item.stages) for item in case.workloads]
        """By workload: how many stages nothing follows."""
        self.pending: dict[int, int] = {}
        """How many visits others still wait for: by their row, and for answers by the complement of the first row."""
        self.travelling = 0
        """Visits and answers that are under way."""
        self._sent = 0

    def enter(self, row: int, now: int) -> None:
        """A visit reaches its pool, or passes it by."""
        self.reached[row] = now
        if self.only[self.stage[row]] and self._passes_by(row):
            self.done([row], place(HAND_OFF, self.pools[self.stage[row]].number, 0), now)
            return
        self.pools[self.stage[row]].arrive(row, now)

    def begin(self, first: int, where: int, now: int) -> None:
        """An attempt that was added to the tape sets out for its first stages. `where` breaks ties."""
        for row, number in enumerate(self.workloads[self.tape.workload[first]].stages, first):
            if self.stages[number].after:
                continue
            if way := self._way(row):
                self._later(now + way, where, partial(self._arrive, [row]))
            else:
                self.enter(row, now)

    def done(self, rows: list[int], where: int, now: int) -> None:
        """Visits have ended: those that follow set out, or the clients are answered. `where` breaks ties."""
        onward: dict[int, list[int]] = {}
        for row in rows:
            following = self.next[self.stage[row]]
            for distance, way, needs in following:
                if needs == 1 or self._complete(row + distance, needs):
                    own = way if self.alike else self._way(row + distance)
                    onward.setdefault(own, []).append(row + distance)
            if self.clients is not None and not following:
                self._answer(row, where, now)
        for way, visits in onward.items():
            self._later(now + way, where, partial(self._arrive, visits))

    def _way(self, row: int) -> int:
        """Nanoseconds to the stage of a visit; none where it passes it by."""
        if self._passes_by(row):
            return 0
        stage = self.stages[self.stage[row]]
        return stage.way if self.network is None else stage.way - stage.network + self.network[row]

    def _passes_by(self, row: int) -> bool:
        """Whether a request has no business at the stage of a visit."""
        return not all(test(sizes[row]) for sizes, test in self.only[self.stage[row]])

    def _answer(self, row: int, where: int, now: int) -> None:
        """A stage that nothing follows has ended; the answer goes out when all such have."""
        number = self.tape.workload[row]
        first, ends, reply = self.tape.first(row), self.ends[number], self.workloads[number].reply
        if ends > 1 and not self._complete(~first, ends):
            return
        if reply:
            self._later(now + reply, where, partial(self._answered, first))
        else:
            self._answered(first, now, travelled=0)

    def _complete(self, key: int, needs: int) -> bool:
        """Whether all that `key` waits for have ended, one of them now."""
        left = self.pending.pop(key, needs) - 1
        if left:
            self.pending[key] = left
        return not left

    def forget(self, rows: Iterable[int]) -> None:
        """Rows will be used again: nothing of what they waited for will come."""
        if self.pending:
            for row in rows:
                self.pending.pop(row, None)
                self.pending.pop(~row, None)

    def _later(self, time: int, where: int, what: Callable[[int], None]) -> None:
        self.travelling += 1
        self._sent += 1
        heappush(self.agenda, (time, where, self._sent, what))

    def _arrive(self, rows: list[int], now: int) -> None:
        self.travelling -= 1
        for row in rows:
            self.enter(row, now)

    def _answered(self, first: int, now: int, travelled: int = 1) -> None:
        self.travelling -= travelled
        assert self.clients is not None
        self.clients.answered(first, now)
