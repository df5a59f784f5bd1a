"""Continuous batching as SGLang does it, from its documentation and source."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from simulator.batching.llm_engine import LlmEngine
from simulator.llm.planner import Planner
from simulator.llm.sglang import SgLang as Order


class SgLang(LlmEngine):
    """Prompts first, as SGLang does: those that decode wait meanwhile. Less certain: held against no log."""

    kind: Literal["sglang"] = "sglang"
    remark: ClassVar[str] = "that of SGLang by its documentation and source; held against no log"
    levers: ClassVar[dict[str, str]] = {
        "max_running_requests": "requests at a time",
        "chunked_prefill_size": "tokens of prompts a step",
        "max_prefill_tokens": "tokens of whole prompts a step",
        "kv_tokens": "room for tokens",
    }
    max_running_requests: int = Field(2048, ge=1, le=16384)
    """Requests that run at a time."""
    chunked_prefill_size: int = Field(8192, ge=-1, le=10**7)
    """Tokens of prompts that a step computes; a prompt that is longer is cut. -1: none is cut."""
    max_prefill_tokens: int = Field(16384, ge=1, le=10**7)
    """Tokens of prompts that a step computes, but for the first of them."""
    enable_mixed_chunk: bool = False
    """Whether those that decode ride along with prompts instead of waiting."""
    schedule_policy: Literal["fcfs", "lpm"] = "fcfs"
    """Who is let in first: by arrival, or whose prompt finds most in the cache (`lpm`; by arrival where more than 128
    wait)."""
    schedule_conservativeness: float = Field(1.0, gt=0, le=10)
    """By how much the room is multiplied that is kept for answers under way; raise it where many give way."""
    page_size: int = Field(1, ge=1, le=4096)
    """Tokens of a page of keys and values."""
    disable_radix_cache: bool = False
    """Whether nothing that is left in the cache is used again."""
    disable_overlap_schedule: bool = False
    """Whether a step is planned only when the one before has ended."""
    max_new_tokens: int = Field(0, ge=0, le=10**7)
    """Tokens that clients ask for, by which room is kept; 0: exactly as many as their answers have."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.chunked_prefill_size:
            raise ValueError("chunked_prefill_size 0 computes nothing; write -1 to cut no prompt")
        if 0 < self.chunked_prefill_size < self.page_size:
            wrong = f"chunked_prefill_size {self.chunked_prefill_size} is below page_size {self.page_size}"
            raise ValueError(f"{wrong}; prompts are cut into whole pages")
        for tokens in (self.kv_tokens, *self.kv_tokens_on.values()):
            if tokens is not None and tokens // self.page_size * self.page_size < 4:
                raise ValueError(f"kv_tokens {tokens} has no room for a request; write what the engine prints")
        return self

    def planner(self) -> Planner:
        """SGLang's scheduler."""
        return Order(self)

    @property
    def block_tokens(self) -> int:
        """`page_size`."""
        return self.page_size

    @property
    def caches(self) -> bool:
        """Not with `disable_radix_cache`."""
        return not self.disable_radix_cache

    @property
    def asynchronous(self) -> bool:
        """Not with `disable_overlap_schedule`."""
        return not self.disable_overlap_schedule

    @property
    def step_tokens(self) -> int:
        """Of prompts alone, or with those that decode."""
        prompts = self.max_prefill_tokens if self.chunked_prefill_size < 0 else self.chunked_prefill_size
        return max(prompts, self.max_running_requests)

    @property
    def longest(self) -> int:
        """Two tokens less than there is room for."""
        return self.blocks * self.page_size - 2

    @property
    def places(self) -> int:
        """`max_running_requests`."""
        return self.max_running_requests
