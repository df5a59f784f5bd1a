"""The balancer of Envoy that reads loads. The counts are its own process's, so nothing is ever scraped."""

from __future__ import annotations

from heapq import heapify, heapreplace
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from simulator.dispatch.base import NEXT, SHORTER, SHORTEST, TIED, Balancer, Picker, View
from simulator.dispatch.tournament import LeastDrawn
from simulator.quantities import Duration, Share

MILLISECOND = 10**6


def _above_zero(share: float) -> float:
    if not share:
        raise ValueError("must be above 0%")
    return share


class EnvoyLeastRequest(Balancer):
    """Envoy least_request with equal weights: draws with replacement; fewest active requests, the first on a tie.

    The same replica may be drawn twice. While a replica is in slow start, all are taken by Envoy's weighted schedule
    instead: earliest deadline first, and whoever is taken is due again after (active requests + 1) / share, where the
    share of a replica in slow start is its age over the window, of the others 1. Weights are not modelled.
    """

    kind: Literal["envoy_least_request"] = "envoy_least_request"
    choice_count: int = Field(2, ge=2, le=64)
    """How many are drawn."""
    selection_method: Literal["n_choices", "full_scan"] = "n_choices"
    """`full_scan`: one of all those with the fewest active requests, each equally likely."""
    slow_start_window: Duration = 0
    """How long replicas that come later are in slow start, with an aggression of 1; 0: none is."""
    min_weight: Annotated[Share, AfterValidator(_above_zero)] = 0.1
    """The least share in slow start."""

    def uniforms(self) -> int:
        """One for each draw."""
        return self.choice_count if self.selection_method == "n_choices" else 1

    def start(self, view: View) -> Picker:
        """Keeps lists of slots by load instead of scanning; with draws it keeps no state."""
        usual = _Choices(view) if self.selection_method == "n_choices" else _FullScan(view)
        return _SlowStart(view, self, usual) if self.slow_start_window else usual


class _Choices(Picker):
    def pick(self, request: int) -> tuple[int, int]:
        ready, outstanding = self.view.ready, self.view.outstanding
        count = len(ready)
        first, *others = self.view.draws
        slot, why = ready[int(first[request] * count)], TIED
        for draw in others:
            other = ready[int(draw[request] * count)]
            if outstanding[other] != outstanding[slot]:
                why = SHORTER
                if outstanding[other] < outstanding[slot]:
                    slot = other
        return slot, why


class _FullScan(LeastDrawn):
    reason = SHORTEST

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.regrouped()


class _SlowStart(Picker):
    """The usual picker, but while a replica is in slow start the weighted schedule."""

    def __init__(self, view: View, choice: EnvoyLeastRequest, usual: Picker) -> None:
        super().__init__(view)
        self.window, self.least, self.usual = choice.slow_start_window, choice.min_weight, usual
        self.regrouped()

    def regrouped(self) -> None:
        self.usual.regrouped()
        self.until = max((self.view.since(slot) for slot in self.view.ready), default=0) + self.window
        self.schedule: list[tuple[float, int, int]] = []
        """A heap of (deadline, number, slot); made anew with the first pick after replicas came or went."""

    def changed(self, slot: int) -> None:
        self.usual.changed(slot)

    def pick(self, request: int) -> tuple[int, int]:
        if self.view.now >= self.until:
            return self.usual.pick(request)
        if not self.schedule:
            self.schedule = [(self._due(slot), place, slot) for place, slot in enumerate(self.view.ready)]
            self.added = len(self.schedule)
            heapify(self.schedule)
        time, _, slot = self.schedule[0]
        heapreplace(self.schedule, (time + self._due(slot), self.added, slot))
        self.added += 1
        return slot, NEXT

    def _due(self, slot: int) -> float:
        """After how long a replica that is taken now is due again."""
        age = max(self.view.now - self.view.since(slot), MILLISECOND)
        return (self.view.outstanding[slot] + 1) / max(self.least, min(1.0, age / self.window))
