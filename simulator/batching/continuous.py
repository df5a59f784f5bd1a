"""Continuous batching: an LLM engine that decides anew before each step what it computes."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simulator.batching.base import Batching
from simulator.component import Record
from simulator.llm.front_end import FrontEnd
from simulator.llm.host import Hosted
from simulator.llm.loop import StepTime
from simulator.llm.service import Steps
from simulator.quantities import Duration
from simulator.service import Law
from simulator.streams import Integers


class EngineHost(Record):
    """What the host takes for each step: under synchronous scheduling the GPU waits for it, else both work at once."""

    fixed: Duration = 0
    """Whatever the step is; calibrate it at one request."""
    per_request: Duration = 0
    """For each request of the step; calibrate it where all places are taken."""


class EngineFrontEnd(Record):
    """The process before the engine that reads requests and sends answers; each replica has one. Off unless given."""

    there: Duration = 0
    """Until a request is in the process: connection, parsing. Side by side."""
    fixed: Duration = 0
    """Of reading a request, one after the other."""
    per_token: Duration = 0
    """And for each token of its prompt."""
    chunk: Duration = 0
    """Of sending a first token, one after the other."""
    back: Duration = 0
    """Of first and last tokens on their way back."""

    def start(self) -> FrontEnd:
        """The process of a replica that has just become ready."""
        return FrontEnd(self.there, self.fixed, self.per_token, self.chunk, self.back)

    def answered(self, ends: Integers, firsts: Integers) -> Integers:
        """When whoever asked has the last token, by when it was there (zero: not yet): no sooner than the first."""
        found: Integers = np.where(ends > 0, np.maximum(ends + self.back, firsts), 0)
        return found

    def apart(self, prompt: float) -> float:
        """Nanoseconds between two like requests, at least, where it is the process that has most to do."""
        return max(self.fixed + self.per_token * prompt, self.chunk)


Tokens = Annotated[int, Field(ge=1, le=10**10)]


class Continuous(Batching):
    """Step by step, as vLLM (v1) does: requests join and leave the running batch between two steps."""

    kind: Literal["continuous"] = "continuous"
    own_queue: ClassVar[bool] = True
    scale_free: ClassVar[bool] = False
    kv_tokens: Tokens | None = None
    """Tokens whose keys and values the replica has room for: the engine prints it when it starts. Unless given, it is
    estimated from the model's config.json and the memory of the machine's GPUs."""
    kv_tokens_on: dict[str, Tokens] = Field(default_factory=dict, max_length=64)
    """`kv_tokens` by instance type, for machines that have room for more or fewer."""
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
    host: EngineHost = EngineHost()
    """What the host takes for each step: `fixed`, and `per_request` in it. The GPU waits for it without
    async_scheduling, and works beside it with it."""
    front_end: EngineFrontEnd = EngineFrontEnd()
    """The process before the engine, one a replica: requests take `there` to come in, and are read one after the other
    in `fixed` and `per_token` of the prompt; first tokens are sent one after the other in `chunk`, and take `back`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max_num_batched_tokens < self.max_num_seqs:
            wrong = f"max_num_batched_tokens {self.max_num_batched_tokens} is below max_num_seqs {self.max_num_seqs}"
            raise ValueError(f"{wrong}; every request that runs needs a token a step")
        for tokens in (self.kv_tokens, *self.kv_tokens_on.values()):
            if tokens is not None and tokens < 2 * self.block_size:
                wrong = f"kv_tokens {tokens} has no room for a block of {self.block_size} beside the one in reserve"
                raise ValueError(f"{wrong}; write what the engine prints")
        return self

    def on(self, instance: str) -> Self:
        """The same on machines of one type."""
        return self.model_copy(
            update={"kv_tokens": self.kv_tokens_on.get(instance, self.kv_tokens), "kv_tokens_on": {}}
        )

    @property
    def room(self) -> int:
        """`kv_tokens`, which a case always knows."""
        assert self.kv_tokens is not None
        return self.kv_tokens

    @property
    def blocks(self) -> int:
        """Blocks that requests can hold: the engine keeps one for itself."""
        return self.room // self.block_size - 1

    @property
    def longest(self) -> int:
        """Tokens of the longest request that can be served: longer ones are refused."""
        room = self.blocks * self.block_size
        return room if self.chunked_prefill else min(room, self.max_num_batched_tokens)

    @property
    def priority(self) -> bool:
        """Whether the priorities of workloads count."""
        return self.policy == "priority"

    def times(self, law: Law) -> StepTime:
        """How long steps take, the host's part included."""
        assert isinstance(law, Steps)
        host, device = self.host, law.times()
        if host == EngineHost():
            return device
        return Hosted(device, host.fixed, host.per_request, self.async_scheduling)

    def largest(self) -> int:
        """Requests that run at a time."""
        return self.max_num_seqs

    def most(self, items: float) -> float:
        """Requests count, whatever they bring."""
        return self.max_num_seqs * items
