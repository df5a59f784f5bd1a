"""How vLLM sends requests to its data-parallel ranks, each an engine of its own."""

from __future__ import annotations

from typing import Literal

from simulator.dispatch.base import LEAST_SCORE, LoadAware, Picker, View
from simulator.dispatch.tournament import LeastKey
from simulator.quantities import SECOND, Duration


class VllmRouter(LoadAware):
    """vLLM's data-parallel router: the smallest 4 x waiting + running, as last told, plus what it has sent since.

    A request sent since counts as one that waits. Among equals the search begins one rank further with each request.
    """

    kind: Literal["vllm_router"] = "vllm_router"
    scrape: Duration = SECOND // 10
    """How often the engines tell their counts. 0: they are known at once."""

    def start(self, view: View) -> Picker:
        """Keeps a tournament over the slots, so that a pick costs no scan."""
        return _VllmRouter(view, bool(self.scrape))


class _VllmRouter(LeastKey):
    reason = LEAST_SCORE

    def __init__(self, view: View, late: bool) -> None:
        super().__init__(view)
        self.late = late
        self.read = view.read
        self.sent: dict[int, int] = {}
        """Requests sent since the counts were read, by slot, where they are not known at once."""
        self.turn = 0
        self.regrouped()

    def regrouped(self) -> None:
        if self.read != self.view.read:
            self.read, self.sent = self.view.read, {}
        # Whoever comes into a slot begins with nothing.
        self.sent = {slot: self.sent[slot] for slot in self.view.ready if slot in self.sent}
        super().regrouped()

    def key(self, slot: int) -> int:
        # 4 x waiting + running, where outstanding = waiting + running.
        return self.view.outstanding[slot] + 3 * self.view.waiting(slot) + 4 * self.sent.get(slot, 0)

    def taken(self, slot: int, requests: list[int], end: int) -> None:
        self.changed(slot)

    def pick(self, request: int) -> tuple[int, int]:
        ready = self.view.ready
        slot = self.tournament.first_from(ready[self.turn % len(ready)])
        self.turn += 1
        if self.late:
            self.sent[slot] = self.sent.get(slot, 0) + 1
            self.changed(slot)
        return slot, self.reason
