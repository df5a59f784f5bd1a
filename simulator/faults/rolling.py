"""Rolling updates, by the rules of a Kubernetes Deployment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, WithJsonSchema

from simulator.faults.base import Fault, Process, Site
from simulator.quantities import Duration

if TYPE_CHECKING:
    from simulator.run.fleet import Fleet
    from simulator.run.lives import ReplicaRecord
    from simulator.run.replica import Replica


def parse_amount(value: object) -> int | str:
    """A number of replicas, or a share of them such as `25%`. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100_000:
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{1,3}%", value) and int(value[:-1]) <= 100:
        return value
    raise ValueError(f"{value!r} is not a number of replicas; write it such as 1 or 25%")


Amount = Annotated[
    int | str,
    BeforeValidator(parse_amount),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^\d{1,3}%$"}]}),
]


def bounds(replicas: int, surge: int | str, unavailable: int | str) -> tuple[int, int]:
    """(most above, most missing) of so many replicas: shares of a surge are rounded up, of missing ones down.

    Where both come to nothing one may be missing, as nothing could move otherwise.
    """
    above = surge if isinstance(surge, int) else -(-int(surge[:-1]) * replicas // 100)
    missing = unavailable if isinstance(unavailable, int) else int(unavailable[:-1]) * replicas // 100
    return (above, min(missing, replicas)) if above or missing else (0, min(1, replicas))


class RollingUpdate(Fault):
    """At a given moment all replicas begin to be replaced, as a Kubernetes Deployment does it."""

    kind: Literal["rolling_update"] = "rolling_update"
    at: Duration
    """From the beginning of the run."""
    max_surge: Amount = "25%"
    """Replicas above the wanted number, in all; a share is rounded up."""
    max_unavailable: Amount = "25%"
    """Ready replicas below the wanted number; a share is rounded down."""

    def whole(self, site: Site) -> Process:
        """Takes a step whenever a replica has become ready or stopped, until all that were there are gone."""
        yield site.wait(self.at)
        fleet = site.fleet
        old = [replica.record for replica in fleet.stayers()]
        while self._step(fleet, old, site.now):
            yield fleet.news()
        fleet.surge = 0
        fleet.scale(fleet.desired, site.now)  # who failed meanwhile has started again beside its successor

    def _step(self, fleet: Fleet, old: list[ReplicaRecord], now: int) -> bool:
        """Launches new replicas and removes old ones as far as the bounds allow; whether old ones are left."""
        above, missing = bounds(fleet.desired, self.max_surge, self.max_unavailable)
        while True:
            replicas = fleet.stayers()
            left = [one for one in replicas if any(one.record is record for record in old)]
            fleet.surge = min(above, len(left))
            fleet.fill(now)
            gone = _removable(fleet.stayers(), left, fleet.desired - missing)
            if not gone:
                return bool(left)
            for count, replica in enumerate(gone, 1):
                fleet.surge = min(above, len(left) - count)
                fleet.remove(replica, now)


def _removable(replicas: list[Replica], old: list[Replica], least: int) -> list[Replica]:
    """The old replicas that can go: those not ready first, and no more of the others than leaves `least` ready."""
    ready = sum(one.record.ready is not None for one in replicas)
    starting = sum(one.record.ready is None for one in replicas if one not in old)
    room = len(replicas) - least - starting
    if room <= 0:
        return []
    idle = [one for one in old if one.record.ready is None]
    return idle[:room] + [one for one in old if one.record.ready is not None][: max(0, ready - least)]
