"""Continuous batching as TensorRT-LLM does it, from its documentation and source."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from simulator.batching.llm_engine import LlmEngine
from simulator.llm.planner import Planner
from simulator.llm.tensorrt_llm import TensorRtLlm as Order


class TensorRtLlm(LlmEngine):
    """In-flight batching, as TensorRT-LLM does: by default nobody ever gives way. Less certain: held against no log."""

    kind: Literal["tensorrt_llm"] = "tensorrt_llm"
    remark: ClassVar[str] = "that of TensorRT-LLM by its documentation and source; held against no log"
    levers: ClassVar[dict[str, str]] = {
        "max_batch_size": "requests at a time",
        "max_num_tokens": "tokens a step",
        "kv_tokens": "room for tokens",
    }
    max_batch_size: int = Field(2048, ge=1, le=16384)
    """Requests that run at a time."""
    max_num_tokens: int = Field(8192, ge=1, le=10**7)
    """Tokens that a step computes."""
    capacity_scheduler_policy: Literal["GUARANTEED_NO_EVICT", "MAX_UTILIZATION"] = "GUARANTEED_NO_EVICT"
    """Whether a request is let in only if there is room for all that those who run may ask for, or if there is room
    now: then the one let in last gives way when there is none, and is computed again."""
    enable_chunked_prefill: bool = False
    """Whether a prompt may be computed over several steps, in whole blocks."""
    tokens_per_block: int = Field(32, ge=1, le=4096)
    """Tokens of a block of keys and values."""
    enable_block_reuse: bool = True
    """Whether blocks that are free but still there are used again."""
    disable_overlap_scheduler: bool = False
    """Whether a step is planned only when the one before has ended."""
    max_tokens: int = Field(0, ge=0, le=10**7)
    """Tokens that clients ask for, by which room is kept; 0: exactly as many as their answers have."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max_num_tokens < self.max_batch_size:
            wrong = f"max_num_tokens {self.max_num_tokens} is below max_batch_size {self.max_batch_size}"
            raise ValueError(f"{wrong}; every request that runs needs a token a step")
        if self.enable_chunked_prefill and self.max_num_tokens < self.tokens_per_block + self.max_batch_size:
            wrong = f"max_num_tokens {self.max_num_tokens} has no room for a block of {self.tokens_per_block}"
            raise ValueError(f"{wrong} of a prompt beside max_batch_size {self.max_batch_size}; raise it")
        return self

    def planner(self) -> Planner:
        """TensorRT-LLM's scheduler."""
        return Order(self)

    @property
    def block_tokens(self) -> int:
        """`tokens_per_block`."""
        return self.tokens_per_block

    @property
    def caches(self) -> bool:
        """`enable_block_reuse`."""
        return self.enable_block_reuse

    @property
    def asynchronous(self) -> bool:
        """Not with `disable_overlap_scheduler`."""
        return not self.disable_overlap_scheduler

    @property
    def step_tokens(self) -> int:
        """`max_num_tokens`."""
        return self.max_num_tokens

    @property
    def evicts(self) -> bool:
        """Whether as many run as there is room for now."""
        return self.capacity_scheduler_policy == "MAX_UTILIZATION"

    @property
    def longest(self) -> int:
        """As much as there is room for; with prompts in one piece, what a step computes."""
        room = self.blocks * self.tokens_per_block
        return room if self.enable_chunked_prefill else min(room, self.max_num_tokens)

    @property
    def places(self) -> int:
        """`max_batch_size`."""
        return self.max_batch_size
