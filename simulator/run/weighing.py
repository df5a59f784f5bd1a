"""What a batch costs, by its visits: where they bring several items, or where their sizes matter.

Each item has the sizes of its request. Where a law pads, every item of a batch counts with the largest.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import TYPE_CHECKING

from simulator.batching import LlmEngine
from simulator.llm.service import OUTPUT, PROMPT, together
from simulator.run.line import Line, Server
from simulator.run.prompts import chains

if TYPE_CHECKING:
    from simulator.case import Case
    from simulator.dispatch import Chain, View
    from simulator.run.replica import Replica
    from simulator.run.tape import Tape

Cost = Callable[[list[int]], int]
"""The work of a batch in nanoseconds, by its visits."""


def cost_of(case: Case, tape: Tape, stage: int) -> Cost:
    """What batches of a stage cost."""
    law, batching = case.stages[stage].service, case.pools[case.stages[stage].pool].batching
    if isinstance(batching, LlmEngine):
        times, prompts, outputs = batching.times(law), tape.sizes[PROMPT], tape.sizes[OUTPUT]
        computes = case.stages[stage].computes

        def alone(visit: int) -> int:
            found, prompt, output = computes(prompts[visit], outputs[visit])
            return ceil(together(times, 1, prompt, output, max(found, 0.0), batching.drafts, batching.gain))

        return lambda members: sum(map(alone, members))
    padded = batching.cost
    work, drawn, pads, items = case.work(stage), tape.service, law.pads, tape.items
    if law.reads is None and items is None:
        return lambda members: work(padded(len(members)), drawn[members[0]])
    sizes = None if law.reads is None else tape.sizes[law.reads]

    def cost(members: list[int]) -> int:
        count = padded(len(members) if items is None else sum([items[visit] for visit in members]))
        units = 0
        if sizes is not None and pads:
            units = count * max([sizes[visit] for visit in members])
        elif sizes is not None and items is None:
            units = sum([sizes[visit] for visit in members])
        elif sizes is not None and items is not None:
            units = sum([items[visit] * sizes[visit] for visit in members])
        return work(count, drawn[members[0]], units)

    return cost


def show_tokens(view: View, tape: Tape, pool: int) -> None:
    """Lets the balancer of a pool know of tokens and prompts, where it serves an LLM."""
    batching = tape.case.pools[pool].batching
    if not isinstance(batching, LlmEngine):
        return
    (stage,) = tape.case.stages_of(pool)
    prompts, outputs, demand = tape.sizes[PROMPT], tape.sizes[OUTPUT], tape.case.demand(stage)
    computes = tape.case.stages[stage].computes

    def tokens(visit: int) -> tuple[int, int]:
        _, prompt, output = computes(max(prompts[visit], 1), max(outputs[visit], 1))
        return int(prompt), int(output)

    view.tokens = tokens
    view.usual_answer = lambda: round(computes(1.0, demand.mixture(OUTPUT).mean)[2])
    view.cache_blocks, size, chain = batching.all_blocks, batching.block_tokens, chains(tape, batching.block_tokens)

    def prompt(visit: int) -> tuple[Chain, int]:
        blocks = max(prompts[visit], 1) // size
        known, own = chain(visit, max(prompts[visit], 1))
        if own is None or blocks <= (known[-1][1] if known else 0):
            return known, blocks
        before = known[:-1] if known and known[-1][0] == own else known
        return (*before, (own, blocks)), blocks

    view.prompt = prompt


class Weigher(Server):
    """A server of visits whose sizes matter."""

    __slots__ = ("cost",)

    def __init__(self, replica: Replica, index: int, line: Line) -> None:
        super().__init__(replica, index, line)
        self.cost = self.pool.costs[self.pool.stages[0]]

    def start(self, take: int, why: int, now: int) -> None:
        """Takes the oldest visits of the line into a batch."""
        members = self.next(take)
        self.serve(members, self.cost(members), why, now, self.line.idle_since)
