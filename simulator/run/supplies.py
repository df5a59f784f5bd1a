"""The machines that several pools share: who may launch one, and who is told of one that is free.

A machine serves one pool at a time. An empty one that is kept goes to whichever pool of the supply needs one of its
type in its zone; else a pool that has waited for longer goes first, and on a tie the one named first.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from simulator.faults import Process
from simulator.run.machines import Place

if TYPE_CHECKING:
    from simulator.parts import CaseSupply
    from simulator.run.machines import Machine, Machines
    from simulator.run.pool import PoolRun
    from simulator.supply import StockOut


class SupplyRun:
    """One supply during one replication."""

    def __init__(self, case: CaseSupply, pools: list[PoolRun]) -> None:
        self.name, self.rules, self.pools = case.name, case.rules, pools
        self.clock, self.draws = pools[0].clock, pools[0].tape.draws
        self.members: list[Machines] = [pool.fleet.machines for pool in pools]
        self.out: Counter[tuple[str | None, str | None]] = Counter()
        """How many stock-outs each zone and instance type is in; None: all of them."""
        self._alarms: set[int] = set()
        for pool in pools:
            pool.fleet.machines.supply = self
        for number, stock_out in enumerate(self.rules.stock_outs):
            self.clock.process(self._stock_out(stock_out, number))
        self.stand_by(0, started=True)

    def stand_by(self, now: int, started: bool = False) -> None:
        """Every pool has its machines that stand by, as far as they can be had."""
        for member in self.members:
            member.stand_by(self.rules.spare, now, started)

    def may_launch(self, now: int) -> bool:
        """Whether one more machine can be asked for now; otherwise whoever waits is told when it is time."""
        rules = self.rules
        if rules.quota is not None and sum(len(one.running) for one in self.members) >= rules.quota:
            return False
        if rules.cluster_autoscaler is not None and (then := rules.cluster_autoscaler.next_scan(now)) != now:
            self.alarm(then, now)
            return False
        return True

    def has(self, zone: str, instance: str) -> bool:
        """Whether there are machines of a type in a zone."""
        return not any(self.out[where, what] for where in (None, zone) for what in (None, instance))

    def empty_of_others(self, asking: Machines, label: tuple[str, str]) -> tuple[Machines, Machine] | None:
        """A machine that another pool keeps empty, of a zone and an instance type."""
        for member in self.members:
            for machine in member.empty() if member is not asking else ():
                if member.label(Place(machine.record.zone, machine.record.kind)) == label:
                    return member, machine
        return None

    def offer(self, now: int) -> None:
        """Machines may be had: who has waited for longest goes first."""
        waiting = [(one.since, place) for place, one in enumerate(self.members) if one.since is not None]
        for _, place in sorted(waiting):
            self.pools[place].more_room(now)
        self.stand_by(now)

    def alarm(self, time: int, now: int) -> None:
        """Sees to it that whoever waits then tries again at that time."""
        if time not in self._alarms:
            self._alarms.add(time)
            self.clock.at(now).timeout(time - now).callbacks.append(lambda _: self._ring(time))

    def _ring(self, time: int) -> None:
        self._alarms.discard(time)
        self.offer(time)

    def _stock_out(self, one: StockOut, number: int) -> Process:
        """A SimPy process: waits for its beginning and its end, once or again and again."""
        drawn = 0

        def life(mean: int) -> int:
            nonlocal drawn
            uniform = self.draws.uniform("stock-outs", f"{self.name}/{number}", drawn, 1)[0]
            drawn += 1
            return max(1, round(float(-np.log1p(-uniform)) * mean))

        while True:
            yield self.clock.timeout(life(one.every) if one.every is not None else one.at or 0)
            self.out[one.zone, one.instance] += 1
            yield self.clock.timeout(one.lasts if one.every is None else life(one.lasts))
            self.out[one.zone, one.instance] -= 1
            self.offer(int(self.clock.now))
            if one.every is None:
                return
