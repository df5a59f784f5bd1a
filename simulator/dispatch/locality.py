"""Near replicas first."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from simulator.dispatch.base import OWN_ZONE, SPILLED, LoadAware, Picker, View
from simulator.dispatch.tournament import Tournament


class Locality(LoadAware):
    """The replica with the fewest outstanding in the request's own zone; of all zones when its own is too busy.

    The zones are the pool's, where its machines stand; a request comes from any of them with the same probability.
    Machines that fell back to another zone are near to nobody.
    """

    kind: Literal["locality"] = "locality"
    spill_over: float = Field(2.0, ge=0, le=1e6)
    """A zone is too busy with more than so many requests outstanding per ready replica."""

    def uniforms(self) -> int:
        """One for the zone of the request."""
        return 1

    def start(self, view: View) -> Picker:
        """Keeps a tournament for each zone."""
        return _Locality(view, self)


class _Locality(Picker):
    def __init__(self, view: View, choice: Locality) -> None:
        super().__init__(view)
        self.spill_over = choice.spill_over
        self.regrouped()

    def regrouped(self) -> None:
        view = self.view
        self.zone = {slot: view.zone(slot) for slot in view.ready}
        zones = (
            max([view.zones - 1, *self.zone.values()]) + 1
        )  # machines may have fallen back to others than the pool's
        members = [[slot for slot in view.ready if self.zone[slot] == zone] for zone in range(zones)]
        self.loads = {slot: view.outstanding[slot] for slot in view.ready}
        self.totals = [sum(self.loads[slot] for slot in own) for own in members]
        self.limits = [self.spill_over * len(own) for own in members]
        self.tournaments = [
            Tournament(len(view.outstanding), {slot: self.loads[slot] for slot in own}) if own else None
            for own in members
        ]

    def changed(self, slot: int) -> None:
        before = self.loads.get(slot)
        if before is None:
            return
        zone, load = self.zone[slot], self.view.outstanding[slot]
        self.loads[slot] = load
        self.totals[zone] += load - before
        tournament = self.tournaments[zone]
        assert tournament is not None
        tournament.update(slot, load)

    def pick(self, request: int) -> tuple[int, int]:
        own = int(self.view.draws[0][request] * self.view.zones)
        slot = self._first(own)
        if slot is not None and self.totals[own] <= self.limits[own]:
            return slot, OWN_ZONE
        firsts = [found for zone in range(len(self.limits)) if (found := self._first(zone)) is not None]
        return min(firsts, key=lambda found: (self.loads[found], found)), SPILLED

    def _first(self, zone: int) -> int | None:
        tournament = self.tournaments[zone]
        return None if tournament is None else tournament.first()
