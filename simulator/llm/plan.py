"""What a step of an LLM engine computes, and what can be set of who plans it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from simulator.llm.job import Job


class Settings(Protocol):
    """What can be set of it."""

    @property
    def max_num_seqs(self) -> int:
        """Requests that run at a time."""

    @property
    def max_num_batched_tokens(self) -> int:
        """Tokens that a step computes."""

    @property
    def block_size(self) -> int:
        """Tokens of a block."""

    @property
    def blocks(self) -> int:
        """Those of the KV cache."""

    @property
    def chunked_prefill(self) -> bool:
        """Whether a prompt may be computed over several steps."""

    @property
    def long_prefill_token_threshold(self) -> int:
        """The most tokens of one prompt in a step; 0: no such bound."""

    @property
    def whole_prompt_check(self) -> bool:
        """Whether a prompt is let in only if there is room for all of it."""

    @property
    def watermark(self) -> int:
        """Blocks that stay free when a prompt is let in beside others."""

    @property
    def prefix_caching(self) -> bool:
        """Whether blocks that are free but still there are used again."""

    @property
    def static(self) -> bool:
        """Whether nobody is let in before all that run have ended."""

    @property
    def priority(self) -> bool:
        """Whether the most urgent is let in first, and the least urgent gives way."""


@dataclass(slots=True)
class Plan:
    """What one step computes."""

    number: int
    decodes: int = 0
    """Requests that get one token each."""
    context: int = 0
    """Tokens that these attend to, the new ones included."""
    longest: int = 0
    """The most of one of them."""
    chunks: list[tuple[int, int]] = field(default_factory=list)
    """Of each prompt: tokens computed, and those before them."""
    first: list[Job] = field(default_factory=list)
    """Whose first token it gives back."""
    begun: list[Job] = field(default_factory=list)
    """Who is part of a plan for the first time."""
    last: list[Job] = field(default_factory=list)
    """Whose last token it gives back."""
    workloads: tuple[int, ...] = ()
    """By place of a workload: how many of those that decode; empty where only one comes."""
    apart: tuple[tuple[Job, bool], ...] = ()
    """Who gets a token that is not the first and got none in the step before, and whether it is among those that
    decode: others had lost their blocks."""
    preempted: bool = False
    """Whether somebody lost their blocks when it was made: then it admits nobody."""

    def tokens(self) -> int:
        """Those that are computed."""
        return self.decodes + sum(count for count, _ in self.chunks)

    def later(self, count: int) -> Plan:
        """The same of those that decode, so many steps later."""
        context, longest = self.context + count * self.decodes, self.longest + count
        return Plan(self.number + count, self.decodes, context, longest, workloads=self.workloads)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.decodes and not self.chunks

    @property
    def plain(self) -> bool:
        """Whether it is one token for each that decodes, and nobody begins or ends with it."""
        return not (self.chunks or self.last or self.apart)
