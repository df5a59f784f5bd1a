"""Continuous batching as vLLM does it, the engine of reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from simulator.batching.llm_engine import LlmEngine
from simulator.llm.adapted import AdaptedVllm
from simulator.llm.adapters import Adapters, Loading
from simulator.llm.loop import StepTime
from simulator.llm.planner import Planner
from simulator.llm.speculation import Drafted, Speculation
from simulator.llm.vllm import Vllm
from simulator.service import Law
from simulator.streams import Floats, Integers


class Continuous(LlmEngine):
    """Step by step, as vLLM (v1) does: requests join and leave the running batch between two steps."""

    kind: Literal["continuous"] = "continuous"
    reserve: ClassVar[int] = 1
    levers: ClassVar[dict[str, str]] = {
        "max_num_seqs": "requests at a time",
        "max_num_batched_tokens": "tokens a step",
        "kv_tokens": "room for tokens",
    }
    max_num_seqs: int = Field(256, ge=1, le=16384)
    """Requests that run at a time."""
    max_num_batched_tokens: int = Field(8192, ge=1, le=10**7)
    """Tokens that a step computes."""
    block_size: int = Field(16, ge=1, le=4096)
    """Tokens of a block of keys and values."""
    chunked_prefill: bool = True
    """Whether a prompt may be computed over several steps."""
    long_prefill_token_threshold: int = Field(0, ge=0, le=10**7)
    """The most tokens of one prompt in a step; 0: as many as the step has room for."""
    whole_prompt_check: bool = True
    """Whether a prompt is let in only if there is room for all of it (vLLM from about 0.19 on)."""
    watermark: int = Field(0, ge=0, le=10**6)
    """Blocks that must stay free when a prompt is let in beside others."""
    prefix_caching: bool = True
    """Whether blocks that are free but still there are used again."""
    policy: Literal["fcfs", "priority"] = "fcfs"
    """Who is let in first, and who gives way: by arrival, or by the priority of the workload (1 is the most urgent)."""
    static: bool = False
    """Whether a batch runs until its longest answer ends (static batching): places that become free stay empty."""
    async_scheduling: bool = True
    """Whether a step is planned while the one before runs (vLLM from 0.14 on)."""
    speculation: Speculation | None = None
    """Speculative decoding, such as {tokens: 4, acceptance: 70%, draft: 1ms}: so many tokens are drafted in that time
    each, and accepted up to the first that is wrong. Off unless given."""

    adapters: Adapters | None = None
    """Adapters (LoRA) that workloads may ask for, such as {max_loras: 4, load: 300ms}: so many are held at a time, and
    whoever needs another one makes the step wait until it is loaded."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max_num_batched_tokens < self.max_num_seqs:
            wrong = f"max_num_batched_tokens {self.max_num_batched_tokens} is below max_num_seqs {self.max_num_seqs}"
            raise ValueError(f"{wrong}; every request that runs needs a token a step")
        if 0 < self.long_prefill_token_threshold <= self.drafts:
            wrong = f"long_prefill_token_threshold {self.long_prefill_token_threshold} has no room for a token"
            raise ValueError(f"{wrong} and {self.drafts} drafted ones; raise it")
        if self.drafts and min(self.on(one).longest for one in ("", *self.kv_tokens_on)) < 2:
            raise ValueError(f"there is no room for {self.drafts} drafted tokens; lower speculation.tokens")
        return self

    def planner(self) -> Planner:
        """vLLM's scheduler."""
        return Vllm(self) if self.adapters is None else AdaptedVllm(self, self.adapters.max_loras)

    @property
    def block_tokens(self) -> int:
        """`block_size`."""
        return self.block_size

    @property
    def caches(self) -> bool:
        """`prefix_caching`."""
        return self.prefix_caching

    @property
    def asynchronous(self) -> bool:
        """`async_scheduling`."""
        return self.async_scheduling

    @property
    def drafts(self) -> int:
        """`speculation.tokens`."""
        return 0 if self.speculation is None else self.speculation.tokens

    @property
    def adapts(self) -> bool:
        """Where `adapters` are told of."""
        return self.adapters is not None

    @property
    def gain(self) -> float:
        """By the acceptance."""
        return 1.0 if self.speculation is None else self.speculation.gain

    def gains(self, uniform: Callable[[int, int], Floats], request: int, output: int) -> Integers:
        """By the acceptance."""
        given = self.speculation
        return super().gains(uniform, request, output) if given is None else given.gains(uniform, request, output)

    def device(self, law: Law) -> StepTime:
        """Drafting and loading included."""
        device = super().device(law)
        if self.speculation is not None:
            device = Drafted(device, self.speculation)
        return device if self.adapters is None else Loading(device, self.adapters)

    @property
    def step_tokens(self) -> int:
        """`max_num_batched_tokens`."""
        return self.max_num_batched_tokens

    @property
    def longest(self) -> int:
        """As much as there is room for; with prompts in one piece, what a step computes."""
        # Room is kept for what a step verifies and the next one drafts, and for the step that is planned meanwhile.
        room = self.blocks * self.block_size - self.drafts * (3 if self.async_scheduling else 2)
        return room if self.chunked_prefill else min(room, self.max_num_batched_tokens)

    @property
    def priority(self) -> bool:
        """Whether the priorities of workloads count."""
        return self.policy == "priority"

    @property
    def places(self) -> int:
        """`max_num_seqs`."""
        return self.max_num_seqs
