"""Machines: what the replicas of a pool run on, from launch to stop.

This is the one place for where a replica goes, how many machines can be had and how long they take to start. The bill
follows from what is written down here (`simulator.figures.cost`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from simulator.run.lives import MachineRecord
from simulator.run.starting import Starting
from simulator.start import FETCHED

if TYPE_CHECKING:
    from simulator.parts import CasePool, CaseSupply
    from simulator.run.pool import PoolRun
    from simulator.run.supplies import SupplyRun
    from simulator.scenario import Pool


def machines_for(pool: Pool | CasePool, replicas: int) -> int:
    """How many machines so many replicas take where a pool has no others."""
    if pool.placement == "spread" and pool.quota is not None:
        return min(pool.quota, replicas)
    return -(-replicas // pool.per_machine)


def first_machines(pools: Iterable[CasePool], supply: CaseSupply) -> int:
    """How many machines the pools of a supply begin with."""
    return sum(machines_for(pool, pool.replicas) for pool in pools if pool.supply == supply)


def room_beside(pool: Pool | CasePool, others: Iterable[Pool | CasePool], quota: int) -> int:
    """The most replicas of a pool for which the quota of a supply has room beside the first ones of other pools."""
    return (quota - sum(machines_for(other, other.replicas) for other in others)) * pool.per_machine


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


class Place(NamedTuple):
    """Where a machine may be."""

    zone: int
    """Position among `Machines.zone_names`."""
    kind: int
    """Position among the pool's `kinds`."""


class Machines:
    """The machines of one pool during one replication.

    A pool that packs puts a replica on the fullest machine that has room, and launches one only where none has. A pool
    that spreads launches one as long as the quota allows it, and then takes the emptiest. On a tie it is the oldest. A
    new machine stands in the zone with the fewest, the first named on a tie, or else in the first place to fall back
    to. It stops when its last replica has, unless a supply keeps it.
    """

    def __init__(self, pool: PoolRun) -> None:
        self.case, self.records = pool.case, pool.log.machines
        self.starting = Starting(pool.case, pool.tape.draws)
        self.running: dict[int, Machine] = {}
        """By number, in the order of their launch."""
        self.roomy: dict[int, Machine] = {}
        """Those that have room for another replica, by number."""
        others = [one.place.zone for one in self.case.fallback if one.place.zone is not None]
        self.zone_names = tuple(dict.fromkeys([*self.case.zones, *others]))
        self.kinds = self.case.kinds()
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
        if (place := self._next(now)) is not None:
            return self._add(place, now, started)
        if self.roomy:
            return min(self.roomy.values(), key=lambda one: (len(one.slots), one.record.number))
        self._wait(now)
        return None

    def stand_by(self, spare: int, now: int, started: bool) -> None:
        """Launches what is missing of so many machines that stand by, as far as they can be had."""
        while sum(1 for _ in self.empty()) < spare and (place := self._next(now)) is not None:
            self._keep(self._add(place, now, started))

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

    def label(self, place: Place) -> tuple[str, str]:
        """A zone and an instance type by name."""
        return self.zone_names[place.zone], self.kinds[place.kind].instance

    def _add(self, place: Place, now: int, started: bool) -> Machine:
        number = len(self.records)
        record = MachineRecord(number, place.zone, now, kind=place.kind)
        machine = Machine(record, now if started else now + self.starting.machine(number))
        if started:
            machine.useful, machine.kept = now + self.case.loading(), dict.fromkeys(FETCHED, now)
        self.records.append(record)
        self.running[number] = machine
        self.in_zone[place.zone] += 1
        return machine

    def _of_others(self, now: int) -> Machine | None:
        """A machine that another pool of the supply keeps empty, handed over."""
        if self.supply is None or self._at_quota():
            return None
        for place in self._places(now):
            if (found := self.supply.empty_of_others(self, self.label(place))) is not None:
                owner, old = found
                owner.stop(old, now)
                machine = self._add(place, now, started=False)
                machine.up = max(now, old.up)
                return machine
        return None

    def _next(self, now: int) -> Place | None:
        """Where a machine can be launched now; None where none can."""
        if self._at_quota():
            return None
        places, supply = self._places(now), self.supply
        if supply is not None:
            places = [place for place in places if supply.has(*self.label(place))]
        if not places or (supply is not None and not supply.may_launch(now)):
            return None
        return places[0]

    def _places(self, now: int) -> list[Place]:
        """Where machines may be, the best first: the pool's own zones by their machines, then what to fall back to."""
        own = sorted(range(len(self.case.zones)), key=lambda one: self.in_zone[one])
        found = [Place(zone, 0) for zone in own]
        waited = 0 if self.since is None else now - self.since
        for kind, one in enumerate(self.case.fallback, 1):
            if waited >= one.place.after:
                zones = own if one.place.zone is None else [self.zone_names.index(one.place.zone)]
                found += [Place(zone, kind) for zone in zones]
        return [place for place in found if not self.shut[place.zone]]

    def _at_quota(self) -> bool:
        return self.case.quota is not None and len(self.running) >= self.case.quota

    def _wait(self, now: int) -> None:
        """A replica has found no machine."""
        if self.since is None:
            self.since = now
        for one in self.case.fallback:
            if self.supply is not None and self.since + one.place.after > now:
                self.supply.alarm(self.since + one.place.after, now)
