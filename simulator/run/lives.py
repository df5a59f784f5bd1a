"""The lives of replicas and machines, and what an autoscaler decided of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from simulator.autoscaling import Limit
from simulator.run.starting import Steps


@dataclass
class ReplicaRecord:
    """The life of one replica, in nanoseconds; None while it has not come to that."""

    slot: int
    launched: int
    machine: int
    """The number of its machine in the pool."""
    steps: Steps = ()
    """What its start came to once its machine had started; none for the first replicas, which are ready."""
    ready: int | None = None
    drained: int | None = None
    """When it stopped taking requests."""
    stopped: int | None = None

    def container(self, up: int) -> int:
        """When its container began, on a machine that has started at `up`."""
        return max(self.launched, up) + sum(time for step, time in self.steps if step == "image")

    @property
    def left(self) -> int | None:
        """When it took requests no more."""
        return self.stopped if self.drained is None else self.drained


@dataclass
class MachineRecord:
    """The life of one machine, in nanoseconds; not stopped while it has not come to that."""

    number: int
    """Its place among all machines that the pool has had."""
    zone: int
    """Position among the pool's zones."""
    launched: int
    stopped: int | None = None
    kind: int = 0
    """Its type: position among the pool's `kinds`."""


class ScalingRecord(NamedTuple):
    """One decision of an autoscaler; the next ones that were the same are left out."""

    time: int
    desired: int
    """What it wants from now on."""
    ready: int
    """Replicas that took requests."""
    reason: str
    before: int = 0
    """What was wanted until now."""
    current: int = 0
    """Replicas that were starting or ready."""
    proposal: int | None = None
    """What the metrics asked for before anything limited it."""
    limits: tuple[Limit, ...] = ()
    """What did."""
    seen: tuple[tuple[str, float], ...] = ()
    """The latest known values of the metrics of the whole pool, by name."""
    read: int | None = None
    """When the latest of its metrics was read; None where none was known."""


@dataclass(frozen=True)
class Lives:
    """The replicas and machines that a pool had during a replication, and what its autoscaler decided."""

    replicas: tuple[ReplicaRecord, ...]
    machines: tuple[MachineRecord, ...]
    scaling: tuple[ScalingRecord, ...]

    def changes(self) -> dict[int, int]:
        """By time: how many more replicas take requests from then on, or fewer."""
        found: dict[int, int] = {}
        for one in self.replicas:
            if one.ready is not None:
                found[one.ready] = found.get(one.ready, 0) + 1
                if one.left is not None:
                    found[one.left] = found.get(one.left, 0) - 1
        return found
