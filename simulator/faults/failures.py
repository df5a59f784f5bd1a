"""Failures at random: of replicas, which start again where they are, and of machines, which are replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from simulator.faults.base import Fault, Process, Site
from simulator.quantities import Duration, PositiveDuration
from simulator.run.machines import machines_for

if TYPE_CHECKING:
    from simulator.parts import CasePool
    from simulator.run.machines import Machine
    from simulator.run.replica import Replica


class ReplicaFailures(Fault):
    """Each replica fails at random, and starts again on its machine."""

    kind: Literal["replica_failures"] = "replica_failures"
    mean: PositiveDuration
    """From when a replica is ready until it fails, on average (exponentially distributed)."""
    restart: Duration = 0
    """From a failure until the replica takes requests again."""

    def rhythm(self, pool: CasePool) -> tuple[float, float]:
        """Every replica has its own."""
        return self.mean / max(pool.replicas, 1), self.restart

    def of_replica(self, site: Site, replica: Replica) -> Process:
        """A life of random length."""
        return site.death(replica, site.life(self.mean, str(replica.slot), replica.life), self.restart)


class MachineFailures(Fault):
    """Each machine fails at random, with all its replicas; others are launched in their place."""

    kind: Literal["machine_failures"] = "machine_failures"
    mean: PositiveDuration
    """From when a machine can serve until it fails, on average (exponentially distributed)."""
    detect: Duration = 0
    """From the failure until replacements are launched."""

    def rhythm(self, pool: CasePool) -> tuple[float, float]:
        """A failure lasts until the replacements are ready."""
        machines = max(machines_for(pool, pool.replicas), 1)
        return self.mean / machines, self.detect + pool.starting()

    def of_machine(self, site: Site, machine: Machine) -> Process:
        """Waits for the failure, unless the machine stops before."""
        yield site.wait(site.until_useful(machine) + site.life(self.mean, "machine", machine.record.number))
        if machine.record.stopped is None:
            site.fleet.lose(machine, self.detect, site.now)
