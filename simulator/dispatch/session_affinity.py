"""Sessions that stay where they began."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from simulator.dispatch.base import OPENED, PASSED_ON, PINNED, Picker, View
from simulator.dispatch.consistent_hash import Room
from simulator.dispatch.ring import Keyed
from simulator.dispatch.tournament import LeastKey


class SessionAffinity(Keyed):
    """A session goes to the replica with the fewest outstanding first, and then stays there.

    Sessions of a replica that has gone begin anew. With a bounded load (as in consistent_hash), a request whose
    replica is full goes to the replica with the fewest outstanding; its session stays pinned where it was.
    """

    kind: Literal["session_affinity"] = "session_affinity"
    bounded_load: float | None = Field(None, ge=1.01, le=100)
    """How many times the mean load a replica may have; None: any."""

    def start(self, view: View) -> Picker:
        """Keeps the replica of every session."""
        return _SessionAffinity(view, self)


class Pins:
    """Who is pinned to which slot; whoever is pinned to a replica that has gone is free again."""

    def __init__(self) -> None:
        self.pins: dict[int, tuple[int, int]] = {}
        self.lives: dict[int, int] = {}
        """How many replicas a slot has had: slots are reused."""
        self.ready: set[int] = set()

    def regroup(self, ready: list[int]) -> None:
        """Other slots are ready."""
        now = set(ready)
        for slot in self.ready - now:
            self.lives[slot] = self.lives.get(slot, 0) + 1
        self.ready = now

    def find(self, who: int) -> int | None:
        """The slot that someone is pinned to, or None."""
        slot, life = self.pins.get(who, (-1, 0))
        return slot if slot in self.ready and self.lives.get(slot, 0) == life else None

    def put(self, who: int, slot: int) -> None:
        """Pins someone to a slot."""
        self.pins[who] = slot, self.lives.get(slot, 0)


class _SessionAffinity(LeastKey):
    def __init__(self, view: View, choice: SessionAffinity) -> None:
        super().__init__(view)
        self.key_of, self.pins = choice.key(), Pins()
        self.room = Room(view, choice.bounded_load) if choice.bounded_load else None
        self.regrouped()

    def regrouped(self) -> None:
        super().regrouped()
        self.pins.regroup(self.view.ready)
        if self.room is not None:
            self.room.recount()

    def changed(self, slot: int) -> None:
        super().changed(slot)
        if self.room is not None:
            self.room.changed(slot)

    def pick(self, request: int) -> tuple[int, int]:
        session = self.key_of(self.view.draws[0][request])
        slot = self.pins.find(session)
        if slot is None:
            slot = self.tournament.first()
            self.pins.put(session, slot)
            return slot, OPENED
        if self.room is not None and not self.room.at(slot):
            return self.tournament.first(), PASSED_ON
        return slot, PINNED
