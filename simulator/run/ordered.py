"""Lines whose visits are not simply served in the order in which they came.

They serve pools with a queue discipline of their own, several stages with the same instances, and clients who may give
up before others that came earlier. No batch mixes stages. The batching policy is asked about each
stage by itself, first that of the visit which the discipline puts first; what it wants to wait for holds up no other
stage. Every step costs at most the logarithm of the number that wait.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from simulator.batching import FULL, Policy
from simulator.discipline import Known
from simulator.run.line import Instance, Line
from simulator.run.waiting import Queue, WeighedQueue

if TYPE_CHECKING:
    from simulator.run.pool import PoolRun


class OrderedLine(Line):
    """Visits of one or several stages that wait for the same instances, in the order of a discipline."""

    __slots__ = ("joined", "most", "order", "queues")

    def __init__(self, pool: PoolRun, slot: int) -> None:
        super().__init__(pool, slot)
        self.order = pool.case.discipline.start(_known(pool))
        """The discipline at work; None where whoever joined first is next."""
        self.queues = {stage: self._queue() for stage in pool.stages}
        self.most = pool.case.batching.largest()
        self.joined = 0
        """Visits that came so far."""

    def _queue(self) -> Queue:
        pool, policy = self.pool, self.pool.case.batching
        assert isinstance(policy, Policy)
        key = None if self.order is None else self.order.key
        leaves = None if pool.patience is None else pool.patience.leaves
        items, total = pool.tape.items, policy.total()
        if items is None and total is None:
            return Queue(key, leaves)
        sizes = None if total is None else pool.tape.sizes[total.size]
        return WeighedQueue(key, leaves, items, sizes, total, policy.largest())

    def present(self) -> int:
        """Visits that no batch has taken yet."""
        return len(self.waiting) + sum(len(queue.there) for queue in self.queues.values())

    def clear(self) -> list[int]:
        """Takes out all that waits: the replica has died."""
        waiting = super().clear()
        for stage, queue in self.queues.items():
            waiting += queue.there
            self.queues[stage] = self._queue()
        return waiting

    def free(self, instance: Instance, now: int) -> None:
        """An instance has nothing to do."""
        if not self.idle:
            self.idle_since = now
        heappush(self.idle, instance.number)
        self.consider(now)

    def consider(self, now: int) -> None:
        """Starts batches on idle instances for as long as the batching policy wants to."""
        self._sort_in()
        if self.pool.patience is not None:
            self._strike_off(now)
        again: list[int] = []
        while self.idle and self._start_one(again, now):
            pass
        self.stranded = bool(again) and max(again) < 0
        if not self.armed and again and max(again) >= 0:
            self.armed = True
            heappush(self.pool.agenda, (min(time for time in again if time >= 0), self.place, 0, self._ring))

    def _sort_in(self) -> None:
        """Puts those that came since into their queues."""
        stage = self.pool.tape.stage
        while self.waiting:
            visit = self.waiting.popleft()
            self.joined += 1
            self.queues[stage[visit]].join(visit, self.joined)

    def _strike_off(self, now: int) -> None:
        """Takes out the visits whose clients have given up, wherever they wait."""
        for queue in self.queues.values():
            for visit in queue.expired(now):
                self.pool.log.dropped.append(visit)
                self.pool.lose(visit, self.slot)
        if self.slot >= 0 and not self.present():
            self.pool.replicas[self.slot].leave(now)

    def _start_one(self, again: list[int], now: int) -> bool:
        """Starts one batch; if there is none to start, `again` says when to ask the policy, stage by stage."""
        pool = self.pool
        again.clear()
        filled = [(stage, queue) for stage, queue in self.queues.items() if queue.there]
        if len(filled) > 1:
            filled.sort(key=lambda item: item[1].first())
        for stage, queue in filled:
            full = queue.full()
            take, time, why = (self.most, 0, FULL) if full else self.decide(queue, self.reached, now)
            if take:
                members, key = queue.take(take)
                if self.order is not None:
                    self.order.taken(key)
                pool.instances[heappop(self.idle)].serve(members, pool.costs[stage](members), why, now, self.idle_since)
                return True
            again.append(time)
        return False


def _known(pool: PoolRun) -> Known:
    """What a discipline may know of the visits to a pool."""
    tape, loads = pool.tape, pool.tape.case.workloads
    return Known(
        workload=tape.workload,
        arrived=tape.arrived,
        priority=[item.priority for item in loads],
        deadline=[item.timeout if item.deadline is None else item.deadline for item in loads],
        weight=[item.weight for item in loads],
        work=pool.work_alone,
    )
