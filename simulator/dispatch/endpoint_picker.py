"""How the endpoint picker of Kubernetes' inference gateway (and llm-d) sends requests: by a sum of scores."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from simulator.dispatch.base import BEST_SCORE, Chain, LoadAware, Picker, View
from simulator.dispatch.memory import Memory
from simulator.quantities import SECOND, Duration


class EndpointPicker(LoadAware):
    """The inference gateway's endpoint picker: the highest weighted sum of free queue, free KV cache and known prompt.

    Scores lie between 0 and 1: how much shorter the queue is than the longest, over the longest less the shortest (1
    where all are alike); the share of the KV cache that is free; the share of the prompt's blocks sent there before. Of
    equals one is drawn. The first two are as the engines last told.
    """

    kind: Literal["endpoint_picker"] = "endpoint_picker"
    scrape: Duration = Field(SECOND // 20, ge=SECOND // 1000)
    """How often the engines tell their queues and caches."""
    queue: float = Field(2.0, ge=0, le=1000)
    """Weight of the queue."""
    kv_cache: float = Field(2.0, ge=0, le=1000)
    """Weight of the KV cache."""
    prefix: float = Field(3.0, ge=0, le=1000)
    """Weight of the prompt."""
    max_prefix_blocks: int = Field(256, ge=1, le=10**6)
    """Blocks of a prompt that are looked at, from its beginning on."""

    def uniforms(self) -> int:
        """One, for those that are equal."""
        return 1

    def start(self, view: View) -> Picker:
        """Keeps what was sent where, and who scores highest without it."""
        return _EndpointPicker(view, self)


class _EndpointPicker(Picker):
    def __init__(self, view: View, choice: EndpointPicker) -> None:
        super().__init__(view)
        self.choice, self.memory = choice, Memory(view.cache_blocks)
        self.regrouped()

    def regrouped(self) -> None:
        view, choice = self.view, self.choice
        self.memory.regroup(view.ready)
        waiting = {slot: view.waiting(slot) for slot in view.ready}
        most, least = max(waiting.values(), default=0), min(waiting.values(), default=0)
        self.scores = {
            slot: choice.queue * ((most - waiting[slot]) / (most - least) if most > least else 1.0)
            + choice.kv_cache * (1 - view.cache(slot))
            for slot in view.ready
        }
        self.best = max(self.scores.values(), default=0.0)
        self.equal = [slot for slot, score in self.scores.items() if score == self.best]

    def pick(self, request: int) -> tuple[int, int]:
        chain, blocks = self.view.prompt(request)
        chain, blocks = _first(chain, self.choice.max_prefix_blocks), min(blocks, self.choice.max_prefix_blocks)
        scores = {
            slot: self.scores[slot] + self.choice.prefix * depth / blocks
            for slot, depth in self.memory.found(chain).items()
        }
        best = max(scores.values(), default=self.best)
        equal = self.equal if best < self.best else [slot for slot, score in scores.items() if score == best]
        if best == self.best:
            equal = sorted({*equal, *(slot for slot in self.equal if slot not in scores)})
        slot = equal[int(self.view.draws[0][request] * len(equal))]
        self.memory.add(chain, slot)
        return slot, BEST_SCORE


def _first(chain: Chain, blocks: int) -> Chain:
    """The beginning of a prompt."""
    begin, found = 0, []
    for name, end in chain:
        if begin < blocks:
            found.append((name, min(end, blocks)))
        begin = end
    return tuple(found)
