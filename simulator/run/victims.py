"""Which replicas go first when a pool has more than it wants."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.run.fleet import Fleet
    from simulator.run.replica import Replica


def victims(fleet: Fleet, now: int) -> list[Replica]:
    """The replicas that are starting or ready, by the order in which they go."""
    replicas = fleet.stayers()
    if fleet.pool.case.victims == "placement":
        return sorted(replicas, key=lambda one: _by_placement(fleet, one))
    beside = Counter(id(one.machine) for one in replicas)
    return sorted(replicas, key=lambda one: _by_kubernetes(fleet, one, beside[id(one.machine)], now))


def _by_placement(fleet: Fleet, one: Replica) -> tuple[Any, ...]:
    """Those still starting go first. Of the others, a pool that packs takes those on the emptiest machines, so that
    machines stop; one that spreads takes from the fullest. The youngest go before the others.
    """
    level = fleet.machines.level(one.machine, one.slot)
    return (one.record.ready is not None, level, -one.machine.record.number, -one.record.launched, -one.slot)


def _by_kubernetes(fleet: Fleet, one: Replica, beside: int, now: int) -> tuple[Any, ...]:
    """The order of a ReplicaSet, as far as there is anything to tell replicas apart by.

    Without a machine that runs, then without a container, then not ready; on the machine with the most of them; ready
    for the shortest time, or else created last, both to within a factor of two; and then by chance, as by their UIDs.
    """
    record = one.record
    ready = record.ready is not None
    draws = fleet.pool.tape.draws
    return (
        one.machine.up <= now,
        record.container(one.machine.up) <= now,
        ready,
        -beside,
        _octave(now - (record.launched if record.ready is None else record.ready)),
        float(draws.uniform("victims", one.entity, one.life, 1)[0]),
    )


def _octave(age: int) -> int:
    """The whole part of the binary logarithm of an age in nanoseconds; -1 where there is none."""
    return max(age, 0).bit_length() - 1
