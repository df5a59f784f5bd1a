"""The balancer of Envoy that reads loads. The counts are its own process's, so nothing is ever scraped."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from simulator.dispatch.base import SHORTER, SHORTEST, TIED, Balancer, Picker, View
from simulator.dispatch.tournament import LeastDrawn


class EnvoyLeastRequest(Balancer):
    """Envoy least_request with equal weights: draws with replacement; fewest active requests, the first on a tie.

    The same replica may be drawn twice. Weights and slow start, under which Envoy follows another schedule, are not
    modelled.
    """

    kind: Literal["envoy_least_request"] = "envoy_least_request"
    choice_count: int = Field(2, ge=2, le=64)
    """How many are drawn."""
    selection_method: Literal["n_choices", "full_scan"] = "n_choices"
    """`full_scan`: one of all those with the fewest active requests, each equally likely."""

    def uniforms(self) -> int:
        """One for each draw."""
        return self.choice_count if self.selection_method == "n_choices" else 1

    def start(self, view: View) -> Picker:
        """Keeps lists of slots by load instead of scanning; with draws it keeps no state."""
        return _Choices(view) if self.selection_method == "n_choices" else _FullScan(view)


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
