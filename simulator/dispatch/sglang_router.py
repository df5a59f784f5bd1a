"""How SGLang's router (`cache_aware`) sends requests: to where most of their prompt was sent before."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from simulator.dispatch.base import REMEMBERED, SHORTEST, Balancer, Picker, View
from simulator.dispatch.memory import Memory
from simulator.dispatch.tournament import LeastKey, Tournament


class SglangRouter(Balancer):
    """SGLang's cache-aware router: where most of the prompt was sent before; the fewest outstanding if loads differ.

    The most loaded replica must have both `balance_abs_threshold` more requests than the least loaded and
    `balance_rel_threshold` times as many, or else requests of which more than `cache_threshold` is remembered go where
    most of it is; all others go to the fewest outstanding. (Versions before 2026 send these to the smallest memory.)
    """

    kind: Literal["sglang_router"] = "sglang_router"
    cache_threshold: float = Field(0.3, ge=0, le=1)
    """Share of the prompt above which it goes to where it is remembered."""
    balance_abs_threshold: int = Field(64, ge=0, le=10**6)
    """Loads differ if the largest is more than this above the least."""
    balance_rel_threshold: float = Field(1.5, ge=1, le=10**6)
    """And more than so many times as large."""
    memory: int = Field(2**20, ge=1, le=2**40)
    """Blocks that it remembers of each replica; those not used for longest go."""

    def start(self, view: View) -> Picker:
        """Keeps what was sent where."""
        return _SglangRouter(view, self)


class _SglangRouter(LeastKey):
    reason = SHORTEST

    def __init__(self, view: View, choice: SglangRouter) -> None:
        super().__init__(view)
        self.choice, self.memory = choice, Memory(choice.memory)
        self.regrouped()

    def regrouped(self) -> None:
        super().regrouped()
        self.memory.regroup(self.view.ready)
        loads = {slot: -self.view.outstanding[slot] for slot in self.view.ready}
        self.most = Tournament(len(self.view.outstanding), loads)

    def changed(self, slot: int) -> None:
        super().changed(slot)
        self.most.update(slot, -self.view.outstanding[slot])

    def pick(self, request: int) -> tuple[int, int]:
        choice, loads = self.choice, self.view.outstanding
        chain, blocks = self.view.prompt(request)
        slot, reason = self.tournament.first(), self.reason
        most, least = loads[self.most.first()], loads[slot]
        if most - least <= choice.balance_abs_threshold or most <= choice.balance_rel_threshold * least:
            found = self.memory.found(chain)
            best = max(found.values(), default=0)
            if best > choice.cache_threshold * blocks:
                equal = (one for one, depth in found.items() if depth == best)
                slot, reason = min(equal, key=lambda one: (loads[one], one)), REMEMBERED
        self.memory.add(chain, slot)
        return slot, reason
