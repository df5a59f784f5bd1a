"""Continuous batching of Hugging Face transformers (5.24)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from simulator.batching.llm_engine import LlmEngine
from simulator.llm.planner import Planner
from simulator.llm.transformers import Transformers as Order

MARGINS = {"fifo": 0.15, "prefill_first": 0.0}
"""Of each scheduler, unless another is given."""
_MOST_REQUESTS = 1024
"""In a step, unless it is told otherwise."""


class Transformers(LlmEngine):
    """Step by step, as continuous batching of Hugging Face transformers (5.24) does."""

    kind: Literal["transformers"] = "transformers"
    levers: ClassVar[dict[str, str]] = {"max_batch_tokens": "tokens a step", "kv_tokens": "room for tokens"}
    max_batch_tokens: int = Field(8192, ge=1, le=10**7)
    """Tokens that a step computes."""
    max_requests_per_batch: int = Field(_MOST_REQUESTS, ge=1, le=16384)
    """Requests that a step serves."""
    page_size: int = Field(256, ge=4, le=4096)
    """Tokens of a block of keys and values; `kv_tokens` is num_blocks times as many."""
    scheduler_type: Literal["fifo", "prefill_first"] = "fifo"
    """Whether those that decode come first, or prompts that are not done."""
    safety_margin: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    """Share of the blocks below which no prompt is computed beside others; the scheduler's own unless given: 0.15, or
    0 for prefill_first."""
    allow_block_sharing: bool = True
    """Whether blocks that are free but still there are used again."""
    use_async_batching: bool = False
    """Whether a step is planned while the one before runs: with FlashAttention and CUDA graphs unless set otherwise."""

    def planner(self) -> Planner:
        """The order of its scheduler."""
        return Order(self)

    @property
    def margin(self) -> float:
        """`safety_margin`, or that of the scheduler."""
        return MARGINS[self.scheduler_type] if self.safety_margin is None else self.safety_margin

    @property
    def prompts_first(self) -> bool:
        """Whether prompts that are not done come before those that decode."""
        return self.scheduler_type == "prefill_first"

    @property
    def step_tokens(self) -> int:
        """`max_batch_tokens`."""
        return self.max_batch_tokens

    @property
    def block_tokens(self) -> int:
        """`page_size`."""
        return self.page_size

    @property
    def caches(self) -> bool:
        """`allow_block_sharing`."""
        return self.allow_block_sharing

    @property
    def asynchronous(self) -> bool:
        """`use_async_batching`."""
        return self.use_async_batching

    @property
    def longest(self) -> int:
        """As much as there is room for."""
        return self.blocks * self.page_size

    @property
    def places(self) -> int:
        """Each that runs has a token and a place in a step."""
        return min(self.max_batch_tokens, self.max_requests_per_batch)
