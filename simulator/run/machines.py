"""Machines: what the replicas of a pool run on, from launch to stop.

This is the one place for where a replica goes, how many machines can be had and how long they take to start. The bill
follows from what is written down here (`simulator.figures.cost`).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from simulator.run.lives import MachineRecord
from simulator.run.starting import Starting
from simulator.start import FETCHED

if TYPE_CHECKING:
    from simulator.parts import CasePool
    from simulator.run.pool import PoolRun
    from simulator.scenario import Pool


def machines_for(pool: Pool | CasePool, replicas: int) -> int:
    """How many machines so many replicas take where a pool has no others."""
    if pool.placement == "spread" and pool.quota is not None:
        return min(pool.quota, replicas)
    return -(-replicas // pool.per_machine)


class Machine:
    """One machine of a pool."""

    __slots__ = ("closed", "kept", "record", "slots", "up", "useful")

    def __init__(self, record: MachineRecord, up: int) -> None:
        self.record = record
        self.slots: set[int] = set()
        """Those of its replicas."""
        self.up = up
        """When it has started: from then on replicas can be loaded."""
        self.useful = up
        """When its first replica was or is ready."""
        self.kept: dict[str, int] = {}
        """By step of a start: when what it brings is on the machine, for those that come later."""
        self.closed = False
        """Whether it gets no further replica."""


class Machines:
    """The machines of one pool during one replication.

    A pool that packs puts a replica on the fullest machine that has room, and launches one only where none has. A pool
    that spreads launches one as long as the quota allows it, and then takes the emptiest. On a tie it is the oldest. A
    new machine stands in the zone with the fewest, the first named on a tie. It stops when its last replica has.
    """

    def __init__(self, pool: PoolRun) -> None:
        self.case, self.records = pool.case, pool.log.machines
        self.starting = Starting(pool.case, pool.tape.draws)
        self.running: dict[int, Machine] = {}
        """By number, in the order of their launch."""
        self.roomy: dict[int, Machine] = {}
        """Those that have room for another replica, by number."""
        self.in_zone = Counter(dict.fromkeys(range(len(self.case.zones)), 0))
        """Machines by zone."""
        self.shut: Counter[int] = Counter()
        """How many outages each zone is in."""

    def place(self, now: int, started: bool = False) -> Machine | None:
        """A machine with room for one more replica; None where none can be had.

        A machine that has to be launched takes its time, or is there at once (`started`).
        """
        zones = [zone for zone in self.in_zone if not self.shut[zone]]
        full = not zones or (self.case.quota is not None and len(self.running) >= self.case.quota)
        pack = self.case.placement == "pack"
        if self.roomy and (pack or full):
            sign = -1 if pack else 1
            return min(self.roomy.values(), key=lambda one: (sign * len(one.slots), one.record.number))
        if full:
            return None
        zone = min(zones, key=lambda one: (self.in_zone[one], one))
        number = len(self.records)
        machine = Machine(MachineRecord(number, zone, now), now if started else now + self.starting.machine(number))
        if started:
            machine.useful, machine.kept = now + self.case.loading(), dict.fromkeys(FETCHED, now)
        self.records.append(machine.record)
        self.running[number] = machine
        self.in_zone[zone] += 1
        return machine

    def level(self, machine: Machine, slot: int) -> int:
        """Who goes first when replicas are removed: small where the machine is empty soon or, to spread, is full."""
        return len(machine.slots) if self.case.placement == "pack" else -sorted(machine.slots).index(slot)

    def enter(self, machine: Machine, slot: int) -> None:
        """A replica is put on a machine."""
        machine.slots.add(slot)
        self._keep(machine)

    def leave(self, machine: Machine, slot: int) -> None:
        """A replica has stopped."""
        machine.slots.discard(slot)
        self._keep(machine)

    def close(self, machine: Machine) -> None:
        """A machine gets no further replica."""
        machine.closed = True
        self._keep(machine)

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
