"""Machines: what the replicas of a pool run on, from launch to stop.

This is the one place for where a replica goes, how many machines can be had and how long they take to start. The bill
follows from what is written down here (`simulator.figures.cost`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from simulator.run.lives import MachineRecord
from simulator.run.starting import Starting
from simulator.start import FETCHED

if TYPE_CHECKING:
    from simulator.parts import CasePool
    from simulator.run.pool import PoolRun
    from simulator.run.supplies import SupplyRun
    from simulator.scenario import Pool


def machines_for(pool: Pool | CasePool, replicas: int) -> int:
    """How many machines so many replicas take where a pool has no others."""
    if pool.placement == "spread" and pool.quota is not None:
        return min(pool.quota, replicas)
    return -(-replicas // pool.per_machine)


class Machine:
    """One machine of a pool."""

    __slots__ = ("closed", "kept", "record", "slots", "up", "used", "useful")

    def __init__(self, record: MachineRecord, up: int) -> None:
        self.record = record
        self.slots: set[int] = set()
        """Those of its replicas."""
        self.up = up
        """When it has started: from then on replicas can be loaded."""
        self.useful = up
        """When its first replica was or is ready."""
        self.used = 0
        """How many replicas it has had."""
        self.kept: dict[str, int] = {}
        """By step of a start: when what it brings is on the machine, for those that come later."""
        self.closed = False
        """Whether it gets no further replica."""


class Machines:
    """The machines of one pool during one replication.

    A pool that packs puts a replica on the fullest machine that has room, and launches one only where none has. A pool
    that spreads launches one as long as the quota allows it, and then takes the emptiest. On a tie it is the oldest. A
    new machine stands in the zone with the fewest, the first named on a tie, or else in the first zone to fall back to.
    It stops when its last replica has, unless a supply keeps it.
    """

    def __init__(self, pool: PoolRun) -> None:
        self.case, self.records = pool.case, pool.log.machines
        self.starting = Starting(pool.case, pool.tape.draws)
        self.running: dict[int, Machine] = {}
        """By number, in the order of their launch."""
        self.roomy: dict[int, Machine] = {}
        """Those that have room for another replica, by number."""
        self.zone_names = (*self.case.zones, *(one.zone for one in self.case.fallback))
        self.in_zone = Counter(dict.fromkeys(range(len(self.zone_names)), 0))
        """Machines by zone."""
        self.shut: Counter[int] = Counter()
        """How many outages each zone is in."""
        self.supply: SupplyRun | None = None
        """What it shares with other pools."""
        self.since: int | None = None
        """Since when replicas have waited for a machine, if any does."""

    def place(self, now: int, started: bool = False) -> Machine | None:
        """A machine with room for one more replica; None where none can be had.

        A machine that has to be launched takes its time, or is there at once (`started`).
        """
        pack = self.case.placement == "pack"
        if pack and self.roomy:
            return min(self.roomy.values(), key=lambda one: (-len(one.slots), one.record.number))
        if (found := self._of_others(now)) is not None:
            return found
        if (zone := self._next_zone(now)) is not None:
            return self._add(zone, now, started)
        if self.roomy:
            return min(self.roomy.values(), key=lambda one: (len(one.slots), one.record.number))
        self._wait(now)
        return None

    def stand_by(self, now: int, started: bool = False) -> None:
        """Launches what is missing of the machines that stand by, as far as they can be had."""
        if self.supply is None:
            return
        spare = self.supply.rules.spare
        while sum(1 for _ in self.empty()) < spare and (zone := self._next_zone(now)) is not None:
            self._keep(self._add(zone, now, started))

    def empty(self) -> Iterator[Machine]:
        """Those that have no replica, and may get one, by age."""
        return (one for one in self.roomy.values() if not one.slots)

    def level(self, machine: Machine, slot: int) -> int:
        """Who goes first when replicas are removed: small where the machine is empty soon or, to spread, is full."""
        return len(machine.slots) if self.case.placement == "pack" else -sorted(machine.slots).index(slot)

    def enter(self, machine: Machine, slot: int) -> None:
        """A replica is put on a machine."""
        machine.slots.add(slot)
        machine.used += 1
        self._keep(machine)

    def leave(self, machine: Machine, slot: int) -> None:
        """A replica has stopped."""
        machine.slots.discard(slot)
        self._keep(machine)

    def close(self, machine: Machine) -> None:
        """A machine gets no further replica."""
        machine.closed = True
        self._keep(machine)

    def needless(self, machine: Machine) -> bool:
        """Whether a machine that is empty need not stand by."""
        return self.supply is None or machine.closed or sum(1 for _ in self.empty()) > self.supply.rules.spare

    def stays(self, machine: Machine, now: int) -> int:
        """Nanoseconds until a machine that has become empty may be given back."""
        rules = None if self.supply is None else self.supply.rules.cluster_autoscaler
        return 0 if rules is None or machine.closed else rules.next_scan(now + rules.unneeded) - now

    def stop(self, machine: Machine, now: int) -> None:
        """A machine is given back."""
        machine.record.stopped = now
        del self.running[machine.record.number]
        self.roomy.pop(machine.record.number, None)
        self.in_zone[machine.record.zone] -= 1

    def _keep(self, machine: Machine) -> None:
        if len(machine.slots) < self.case.per_machine and not machine.closed:
            self.roomy[machine.record.number] = machine
        else:
            self.roomy.pop(machine.record.number, None)

    def _add(self, zone: int, now: int, started: bool) -> Machine:
        number = len(self.records)
        machine = Machine(MachineRecord(number, zone, now), now if started else now + self.starting.machine(number))
        if started:
            machine.useful, machine.kept = now + self.case.loading(), dict.fromkeys(FETCHED, now)
        self.records.append(machine.record)
        self.running[number] = machine
        self.in_zone[zone] += 1
        return machine

    def _of_others(self, now: int) -> Machine | None:
        """A machine that another pool of the supply keeps empty, handed over."""
        if self.supply is None or self._at_quota():
            return None
        zones = self._zones(now)
        found = self.supply.empty_of_others(self, [self.zone_names[zone] for zone in zones])
        if found is None:
            return None
        owner, old = found
        owner.stop(old, now)
        zone = next(zone for zone in zones if self.zone_names[zone] == owner.zone_names[old.record.zone])
        machine = self._add(zone, now, started=False)
        machine.up = max(now, old.up)
        return machine

    def _next_zone(self, now: int) -> int | None:
        """Where a machine can be launched now; None where none can."""
        if self._at_quota():
            return None
        zones = self._zones(now)
        if self.supply is not None:
            zones = [zone for zone in zones if self.supply.has(self.zone_names[zone])]
        if not zones or (self.supply is not None and not self.supply.may_launch(now)):
            return None
        return zones[0]

    def _zones(self, now: int) -> list[int]:
        """Where machines may stand, the best first: the pool's own by their machines, then those to fall back to."""
        own = sorted(range(len(self.case.zones)), key=lambda one: self.in_zone[one])
        waited = 0 if self.since is None else now - self.since
        others = enumerate(self.case.fallback, len(own))
        return [zone for zone in own if not self.shut[zone]] + [zone for zone, one in others if waited >= one.after]

    def _at_quota(self) -> bool:
        return self.case.quota is not None and len(self.running) >= self.case.quota

    def _wait(self, now: int) -> None:
        """A replica has found no machine."""
        if self.since is None:
            self.since = now
        for one in self.case.fallback:
            if self.supply is not None and self.since + one.after > now:
                self.supply.alarm(self.since + one.after, now)
