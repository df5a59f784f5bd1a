"""Replicas that do not last: they run out of memory, or are restarted at a certain age."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from simulator.faults.base import Fault, Process, Site
from simulator.quantities import Duration, PositiveDuration

if TYPE_CHECKING:
    from simulator.parts import CasePool
    from simulator.run.replica import Replica


class Restarts(Fault):
    """Each replica dies at a certain age, as when its memory leaks, and starts again on its machine."""

    kind: Literal["restarts"] = "restarts"
    age: PositiveDuration
    """At which a replica dies. The first replicas are of any age at the start, evenly."""
    restart: Duration = 0
    """From the death until the replica takes requests again."""

    def rhythm(self, pool: CasePool) -> tuple[float, float]:
        """Every replica has its own."""
        return (self.age + self.restart) / max(pool.replicas, 1), self.restart

    def of_replica(self, site: Site, replica: Replica) -> Process:
        """A life of full length; of the first replicas what is left of one."""
        left = self.age
        if replica.record.launched == 0:
            left = max(1, round((1 - site.uniform(str(replica.slot), 0)) * self.age))
        return site.death(replica, left, self.restart)
