"""What a step of an LLM engine computes."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator.llm.job import Job


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
    drafts: int = 0
    """Tokens that were drafted for them, and are verified."""
    chunks: list[tuple[int, int]] = field(default_factory=list)
    """Of each prompt: tokens computed, and those before them."""
    loads: int = 0
    """Adapters that are loaded for it."""
    first: list[Job] = field(default_factory=list)
    """Whose first token it gives back."""
    begun: list[Job] = field(default_factory=list)
    """Who is part of a plan for the first time."""
    last: list[Job] = field(default_factory=list)
    """Whose last token it gives back."""
    gains: tuple[int, ...] = ()
    """By place of a workload: how many of those that decode get a token now; empty for none."""
    apart: tuple[tuple[Job, bool], ...] = ()
    """Who gets a token that is not the first and got none in the step before, and whether it is among those: others
    had lost their blocks."""
    joined: bool = False
    """Whether somebody is let in with it, for the first time or again."""
    preempted: bool = False
    """Whether somebody lost their blocks when it was made: then it admits nobody."""

    def tokens(self) -> int:
        """Those that are computed."""
        return self.decodes + self.drafts + sum([count for count, _ in self.chunks])

    def later(self, count: int) -> Plan:
        """The same of those that decode, so many steps later."""
        context, longest = self.context + count * self.decodes, self.longest + count
        return Plan(self.number + count, self.decodes, context, longest, gains=self.gains)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.decodes and not self.chunks

    @property
    def plain(self) -> bool:
        """Whether it is one token for each that decodes, none of them the first or the last of an answer."""
        return not (self.chunks or self.first or self.last or self.drafts or self.apart)
