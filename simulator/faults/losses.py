"""Losses at a given moment: of replicas, of machines, of a whole zone."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from simulator.faults.base import Fault, Process, Site
from simulator.quantities import Duration, PositiveDuration


class ReplicaLoss(Fault):
    """At a given moment some replicas fail, those in the lowest slots, and start again on their machines."""

    kind: Literal["replica_loss"] = "replica_loss"
    at: Duration
    """From the beginning of the run."""
    count: int = Field(1, ge=1, le=100_000)
    """Of the replicas that are ready then; all where there are fewer."""
    restart: Duration = 0
    """From the failure until the replicas take requests again."""

    def whole(self, site: Site) -> Process:
        """Waits for its moment."""
        yield site.wait(self.at)
        fleet = site.fleet
        for slot in fleet.pool.view.ready[: self.count]:
            fleet.restart(fleet.replicas[slot], self.restart, site.now)


class MachineLoss(Fault):
    """At a given moment some machines fail, the oldest, with all their replicas; others take their place."""

    kind: Literal["machine_loss"] = "machine_loss"
    at: Duration
    """From the beginning of the run."""
    count: int = Field(1, ge=1, le=100_000)
    """Of the machines that there are then; all where there are fewer."""
    detect: Duration = 0
    """From the failure until replacements are launched."""

    def whole(self, site: Site) -> Process:
        """Waits for its moment."""
        yield site.wait(self.at)
        for machine in list(site.fleet.machines.running.values())[: self.count]:
            site.fleet.lose(machine, self.detect, site.now)


class ZoneOutage(Fault):
    """For a time the machines of one zone are gone, and none can be launched there; other zones take over."""

    kind: Literal["zone_outage"] = "zone_outage"
    zone: str
    """One of the pool's `zones`."""
    at: Duration
    """From the beginning of the run."""
    lasts: PositiveDuration
    """From then until machines can be launched there again."""
    detect: Duration = 0
    """From the outage until replacements are launched, where they can be had."""

    def whole(self, site: Site) -> Process:
        """Waits for its moment, and for the end."""
        yield site.wait(self.at)
        fleet, machines = site.fleet, site.fleet.machines
        zone = machines.case.zones.index(self.zone)
        machines.shut[zone] += 1
        for machine in [one for one in machines.running.values() if one.record.zone == zone]:
            fleet.lose(machine, self.detect, site.now)
        yield site.wait(self.lasts)
        machines.shut[zone] -= 1
        fleet.pool.more_room(site.now)
