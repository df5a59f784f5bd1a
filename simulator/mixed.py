"""Lines of pools that serve several stages with the same instances.

No batch mixes stages. The batching policy is asked about each stage by itself, the one whose oldest visit came first
before the others; what it wants to wait for holds up no other stage.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from simulator.line import Instance, Line

if TYPE_CHECKING:
    from simulator.pool import PoolRun


class MixedLine(Line):
    """Visits of several stages that wait for the same instances."""

    __slots__ = ("queues",)

    def __init__(self, pool: PoolRun, slot: int) -> None:
        super().__init__(pool, slot)
        self.queues: dict[int, deque[int]] = {stage: deque() for stage in pool.stages}

    def present(self) -> int:
        """Visits that no batch has taken yet."""
        return len(self.waiting) + sum(map(len, self.queues.values()))

    def clear(self) -> list[int]:
        """Takes out all that waits: the replica has died."""
        waiting = super().clear()
        for queue in self.queues.values():
            waiting += queue
            queue.clear()
        return waiting

    def free(self, instance: Instance, now: int) -> None:
        """An instance has nothing to do."""
        if not self.idle:
            self.idle_since = now
        heappush(self.idle, instance.number)
        self.consider(now)

    def consider(self, now: int) -> None:
        """Starts batches on idle instances for as long as the batching policy wants to."""
        stage = self.pool.tape.stage
        while self.waiting:
            visit = self.waiting.popleft()
            self.queues[stage[visit]].append(visit)
        if self.pool.patience is not None:
            for queue in self.queues.values():
                self._drop_expired(queue, now)
        again: list[int] = []
        while self.idle and self._start_one(again, now):
            again.clear()
        self.stranded = bool(again) and max(again) < 0
        if not self.armed and again and max(again) >= 0:
            self.armed = True
            heappush(self.pool.agenda, (min(time for time in again if time >= 0), self.place, 0, self._ring))

    def _start_one(self, again: list[int], now: int) -> bool:
        """Starts one batch; if there is none to start, `again` says when to ask the policy, stage by stage."""
        reached, pool = self.reached, self.pool
        filled = [(reached[queue[0]], stage) for stage, queue in self.queues.items() if queue]
        for _, stage in sorted(filled):
            queue = self.queues[stage]
            take, time, why = self.decide(queue, reached, now)
            if take:
                members = [queue.popleft() for _ in range(take)]
                cost = pool.works[stage](take, pool.tape.service[members[0]])
                pool.instances[heappop(self.idle)].serve(members, cost, why, now, self.idle_since)
                return True
            again.append(time)
        return False
