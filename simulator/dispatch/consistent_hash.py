"""Consistent hashing, plain or with bounded loads."""

from __future__ import annotations

from math import ceil
from typing import Literal

import numpy as np
from pydantic import Field

from simulator.dispatch.base import OWNER, PASSED_ON, Picker, View
from simulator.dispatch.ring import Keyed, Ring, mixed


class ConsistentHash(Keyed):
    """The replica that owns the request's key on a hash ring; with a bounded load, the next on the ring with room.

    A replica is full with ceil(bounded_load x m / n) requests outstanding, of m in the pool of n replicas, this one
    among them (Mirrokni, Thorup and Zadimoghaddam 2018). The expected number of replicas passed over does not depend
    on n, but grows with 1 / (bounded_load - 1)^2.
    """

    kind: Literal["consistent_hash"] = "consistent_hash"
    points: int = Field(100, ge=1, le=1000)
    """Points of a replica on the ring: the more, the more evenly the keys are spread."""
    bounded_load: float | None = Field(None, ge=1.01, le=100)
    """How many times the mean load a replica may have; None: any."""

    def start(self, view: View) -> Picker:
        """Keeps the owner of every key, found anew when replicas come or go."""
        return _Bounded(view, self) if self.bounded_load else _ConsistentHash(view, self)


class _ConsistentHash(Picker):
    def __init__(self, view: View, choice: ConsistentHash) -> None:
        super().__init__(view)
        self.key, self.points = choice.key(), choice.points
        self.hashes = mixed(np.arange(choice.keys) + 1)
        self.placed: list[int] = []
        """The slots on the ring."""
        self.regrouped()

    def regrouped(self) -> None:
        if self.placed == self.view.ready:
            return
        self.placed = list(self.view.ready)
        slots = np.repeat(np.array(self.view.ready, dtype=np.int64), self.points)
        point = np.tile(np.arange(self.points), len(self.view.ready))
        # Slots and points are numbered beyond the largest key, so that no key lies on a point by construction.
        ring = Ring(mixed(((slots + 1) << 32) + point), slots, 2**64) if len(slots) else None
        self.owners = ring.owners if ring else []
        self.arcs = ring.arcs(self.hashes) if ring else []

    def pick(self, request: int) -> tuple[int, int]:
        return self.owners[self.arcs[self.key(self.view.draws[0][request])]], OWNER


class Room:
    """Which replicas have room under a bounded load."""

    def __init__(self, view: View, bound: float) -> None:
        self.view, self.bound = view, bound
        self.recount()

    def recount(self) -> None:
        """Replicas came or went, or all loads were read anew."""
        self.loads = {slot: self.view.outstanding[slot] for slot in self.view.ready}
        self.total = sum(self.loads.values())

    def changed(self, slot: int) -> None:
        """The load of a slot changed."""
        before = self.loads.get(slot)
        if before is not None:
            self.loads[slot] = load = self.view.outstanding[slot]
            self.total += load - before

    def at(self, slot: int) -> bool:
        """Whether a slot can take one more."""
        return self.loads[slot] < ceil(self.bound * (self.total + 1) / len(self.loads))


class _Bounded(_ConsistentHash):
    def __init__(self, view: View, choice: ConsistentHash) -> None:
        assert choice.bounded_load is not None
        self.room = Room(view, choice.bounded_load)
        super().__init__(view, choice)

    def regrouped(self) -> None:
        super().regrouped()
        self.room.recount()

    def changed(self, slot: int) -> None:
        self.room.changed(slot)

    def pick(self, request: int) -> tuple[int, int]:
        owners, room = self.owners, self.room
        first = arc = self.arcs[self.key(self.view.draws[0][request])]
        while not room.at(owners[arc]):
            arc += 1
            if arc == len(owners):
                arc = 0
        return owners[arc], OWNER if owners[arc] == owners[first] else PASSED_ON
