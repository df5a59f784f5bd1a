"""What a pool costs: machines times price, integrated over time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from simulator.run.lives import MachineRecord, ReplicaRecord

if TYPE_CHECKING:
    from simulator.parts import CasePool

HOUR = 3600 * 10**9


def machine_time(machines: Iterable[MachineRecord | ReplicaRecord], since: int, until: int) -> int:
    """Nanoseconds of machines in use between two times, or of replicas, from each launch to each stop."""
    return sum(
        max(0, min(until if one.stopped is None else one.stopped, until) - max(one.launched, since)) for one in machines
    )


def serving_time(replicas: Iterable[ReplicaRecord], since: int, until: int) -> int:
    """Nanoseconds of replicas that could serve between two times, from ready to stop."""
    return sum(
        max(0, min(until if one.stopped is None else one.stopped, until) - max(one.ready, since))
        for one in replicas
        if one.ready is not None
    )


def bill_of(pool: CasePool, machines: Sequence[MachineRecord], since: int, until: int) -> float:
    """Dollars for the machines of a pool between two times, each at the price of its type."""
    kinds, dollars = pool.kinds(), 0.0
    for number in range(len(kinds)):
        own = [one for one in machines if one.kind == number]
        dollars += bill(own, kinds[number].machine.price, since, until)
    return dollars


def bill(machines: Iterable[MachineRecord], price: float, since: int, until: int) -> float:
    """Dollars for the machines between two times at a price per hour, billed by the nanosecond."""
    return machine_time(machines, since, until) / HOUR * price
