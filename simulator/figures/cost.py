"""What a pool costs: machines times price, integrated over time."""

from __future__ import annotations

from collections.abc import Iterable

from simulator.run.lives import MachineRecord, ReplicaRecord

HOUR = 3600 * 10**9


def machine_time(machines: Iterable[MachineRecord], since: int, until: int) -> int:
    """Nanoseconds of machines in use between two times, from each launch to each stop."""
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


def bill(machines: Iterable[MachineRecord], price: float, since: int, until: int) -> float:
    """Dollars for the machines between two times at a price per hour, billed by the nanosecond."""
    return machine_time(machines, since, until) / HOUR * price
