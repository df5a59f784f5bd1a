"""How long a step of an LLM engine takes, from times measured layer by layer.

A step is a dense part that depends on its tokens, a part for each sequence, and attention. Attention has three regimes
that are never interpolated into each other: all decode, all prefill, or both, for which the kernels serve those that
decode less efficiently. Contexts that differ cost more than as many that are alike: t(mean) + skew (t(longest) -
t(mean)).
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Annotated

from pydantic import Field

from simulator.arrays import Array
from simulator.component import Record
from simulator.llm.attention import Attention, Curve, Line, blend
from simulator.llm.loop import TICKS
from simulator.llm.plan import Plan

SKEW = ((17, 0.03), (129, 0.01))
"""From so many decoding requests on, so much; nothing of it is known of fewer. Published fits of vLLM's kernels agree
with 0.03; it was best on a log of an RTX PRO 6000 too."""


class LayerTable(Record):
    """Times of whole steps, all layers of one GPU together, in nanoseconds."""

    tokens: Array
    """Ascending whole numbers."""
    dense: Array
    """What that many tokens take, besides attention and besides what depends on the sequences."""
    sequences: Array
    """Ascending whole numbers."""
    sampling: Array
    """What head and sampler take for that many sequences."""
    attention: Array
    """A row of five for each time that was measured: tokens of a prompt's chunk, those before it, decoding requests,
    what each of them attends to, nanoseconds."""
    skew: tuple[tuple[int, float], ...] = SKEW
    """What contexts that differ cost, from how many decoding requests on."""
    largest_graph: Annotated[int, Field(ge=0)] = 0
    """Steps of at most so many tokens are padded to the next size for which a graph was captured; 0 for none."""
    exchange_ns: Annotated[float, Field(ge=0)] = 0.0
    """What the GPUs of a replica take to tell each other their results, each step."""
    exchange_ns_per_token: Annotated[float, Field(ge=0)] = 0.0
    """And for each token of it."""


def all_reduces(layers: int, degree: int, token_bytes: float, latency_ns: float, bandwidth: float) -> list[float]:
    """`exchange_ns` and `exchange_ns_per_token` of tensor parallelism: two all-reduces a layer, of rings.

    `token_bytes` are those of a token's hidden state, `bandwidth` is in bytes per second.
    """
    if degree == 1:
        return [0.0, 0.0]
    return [2 * layers * latency_ns, 2 * layers * 2 * (degree - 1) / degree * token_bytes / bandwidth * 1e9]


def padded(tokens: int, largest: int) -> int:
    """The size of the graph that runs so many tokens, where vLLM captured those up to `largest`."""
    if tokens > largest:
        return tokens
    if tokens <= 4:
        return (1, 1, 2, 4, 4)[tokens]
    return min(largest, -(-tokens // 8) * 8 if tokens <= 248 else -(-tokens // 16) * 16)


class Layers:
    """The times of steps from a table. What it remembers is the same for all replicas that share it."""

    def __init__(self, table: LayerTable) -> None:
        self.table = table
        self._dense = Line(table.tokens.tolist(), table.dense.tolist())
        self._sampling = Line(table.sequences.tolist(), table.sampling.tolist())
        self.attention = Attention([(*map(int, row[:4]), row[4]) for row in table.attention.tolist()])
        self._begins = [begin for begin, _ in table.skew]
        self._rests: dict[tuple[int, int], int] = {}
        self._curves: dict[int, tuple[int, Curve, Curve]] = {}

    def rest(self, tokens: int, sequences: int) -> int:
        """Ticks of all but attention."""
        found = self._rests.get((tokens, sequences))
        if found is None:
            table, size = self.table, padded(tokens, self.table.largest_graph)
            exchange = table.exchange_ns + table.exchange_ns_per_token * size
            time = self._of_tokens(size) + self._sampling.at(sequences) + exchange
            found = self._rests[tokens, sequences] = round(time * TICKS)
        return found

    def _of_tokens(self, tokens: int) -> float:
        """The dense part: beyond the table it goes on as over its latter half, for times go up in stairs."""
        last = self._dense.places[-1]
        if tokens <= last:
            return self._dense.at(tokens)
        return blend(self._dense.at(last / 2), self._dense.values[-1], 2 * tokens / last - 1)

    def skew(self, decodes: int) -> float:
        """What contexts that differ cost."""
        place = bisect_right(self._begins, decodes)
        return self.table.skew[place - 1][1] if place else 0.0

    def of(self, plan: Plan) -> int:
        """Ticks."""
        decodes = plan.decodes
        if not plan.chunks:
            alone = self.decoding(decodes, plan.context, plan.longest)[0]
            if not plan.drafts:
                return alone
            return alone + self.rest(plan.tokens(), decodes + plan.drafts) - self.rest(decodes, decodes)
        tokens = twice = 0
        for count, before in plan.chunks:
            tokens += count
            twice += count * (2 * before + count)
        # One chunk of as many tokens with as many pairs of them: pairs are tokens x (history + tokens / 2).
        history = (twice - tokens * tokens) / (2 * tokens)
        mean = plan.context / decodes if decodes else 0.0
        time = self.attention.of(tokens, history, decodes, mean, plan.longest, self.skew(decodes))
        sampled = decodes + plan.drafts
        return self.rest(tokens + sampled, sampled + len(plan.chunks)) + round(time * TICKS)

    def decoding(self, decodes: int, context: int, longest: int) -> tuple[int, int, int]:
        """Ticks of the first, the growth, and for how many steps: until one of the lines has its next corner."""
        found = self._curves.get(decodes)
        if found is None:
            line, skew = self.attention.decoding(decodes), self.skew(decodes)
            mean = Curve(line, (1 - skew) * TICKS, decodes)
            most = Curve(line if skew else Line([0], [0.0]), skew * TICKS, 1)
            found = self._curves[decodes] = (self.rest(decodes, decodes), mean, most)
        rest, mean, most = found
        edges, place = mean.edges, bisect_right(mean.edges, context)
        slope = mean.slopes[place]
        first = rest + mean.bases[place] + slope * (context - edges[place - 1] if place else 0)
        steps = (edges[place] - context - 1) // decodes + 1 if place < len(edges) else 1 << 60
        edges, place = most.edges, bisect_right(most.edges, longest)
        first += most.bases[place] + most.slopes[place] * (longest - edges[place - 1] if place else 0)
        if place < len(edges):
            steps = min(steps, edges[place] - longest)
        return first, slope * decodes + most.slopes[place], steps
