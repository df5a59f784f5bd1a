"""What prompts have in common from their beginning on, which an engine that has it in its cache need not compute."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from simulator.arrivals import Answered, Process
from simulator.component import Record
from simulator.sizes import SizeLaw


class Prompts(Record):
    """How the prompts of a workload begin: with what others begin with, or with what was said before."""

    shared: int = Field(0, ge=0, le=10**7)
    """Tokens of a beginning that prompts share, such as a system prompt."""
    groups: int = Field(1, ge=1, le=10**6)
    """How many different ones there are, equally likely; all requests of a session or a user have the same."""
    history: bool = False
    """Whether requests repeat all that was said before in their session; `input_tokens` are then what they add."""
    longest: int | None = Field(None, ge=1, le=10**9)
    """With history: tokens of the longest prompt; the oldest of what was said after the beginning is left out."""
    hashes: int | None = Field(None, ge=1, le=10**6)
    """For a trace with `hash_ids`: tokens of the block that each of them stands for, such as 512 in those of Mooncake.
    Prompts begin alike as far as they have the same."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.hashes is not None and (self.shared or self.history):
            raise ValueError("hashes say all that prompts have in common; remove them, or shared and history")
        if not self.shared and not self.history and self.hashes is None:
            raise ValueError("prompts have nothing in common; write such as shared: 800, or history: true")
        if not self.shared and self.groups > 1:
            raise ValueError(f"{self.groups} groups share nothing; write such as shared: 800, or remove groups")
        if self.longest is not None and not self.history:
            raise ValueError("only prompts with a history grow; remove longest, or write history: true")
        if self.longest is not None and self.longest <= self.shared:
            raise ValueError(f"longest {self.longest} has no room beside {self.shared} shared tokens; raise it")
        return self

    def mean(self, prompt: SizeLaw, output: SizeLaw, arrivals: Process) -> tuple[float, float, float]:
        """Mean tokens of a prompt: of the shared beginning, of what was said before in its session, of the rest."""
        if not self.history:
            shared = float(np.minimum(prompt.spread(), self.shared).mean())
            return shared, 0.0, max(prompt.average() - shared, 0.0)
        assert isinstance(arrivals, Answered)
        said, new = arrivals.before() * (prompt.average() + output.average()), prompt.average()
        if self.longest is not None:
            said = min(said, max(self.longest - self.shared - new, 0.0))
        return float(self.shared), said, new
