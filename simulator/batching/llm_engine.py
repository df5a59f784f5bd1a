"""What batching by an LLM engine is, whichever engine: steps, and between two of them requests join and leave."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Annotated, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from simulator.batching.base import Batching
from simulator.component import Record
from simulator.llm.front_end import FrontEnd
from simulator.llm.host import Hosted
from simulator.llm.job import ONE_BY_ONE, Job
from simulator.llm.loop import Loop, Outputs, StepTime
from simulator.llm.planner import Planner
from simulator.llm.ranks import Ranks
from simulator.llm.readings import Readings
from simulator.llm.service import Steps
from simulator.quantities import Duration
from simulator.service import Law
from simulator.streams import Floats, Integers


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


class LlmEngine(Batching):
    """An LLM engine that decides anew before each step what it computes. Its settings have the engine's own names."""

    own_queue: ClassVar[bool] = True
    scale_free: ClassVar[bool] = False
    reserve: ClassVar[int] = 0
    """Blocks that the engine keeps for itself."""
    remark: ClassVar[str] = ""
    """What is less certain about the order in which it serves."""
    levers: ClassVar[dict[str, str]]
    """Whole numbers that hold requests up where they are small, by the names of their fields: how they are called."""
    kv_tokens: Tokens | None = None
    """Tokens whose keys and values the replica has room for: the engine prints it when it starts. Unless given, it is
    estimated from the model's config.json and the memory of the machine's GPUs."""
    kv_tokens_on: dict[str, Tokens] = Field(default_factory=dict, max_length=64)
    """`kv_tokens` by instance type, for machines that have room for more or fewer."""
    data_parallel_size: int = Field(1, ge=1, le=256)
    """Ranks of a replica that make their steps together (experts that are spread over them): all other settings and
    `kv_tokens` are each rank's. Ranks of a dense model are replicas."""
    host: EngineHost = EngineHost()
    """What the host takes for each step: `fixed`, and `per_request` in it. The GPU waits for it under synchronous
    scheduling, and works beside it under asynchronous."""
    front_end: EngineFrontEnd = EngineFrontEnd()
    """The process before the engine, one a replica: requests take `there` to come in, and are read one after the other
    in `fixed` and `per_token` of the prompt; first tokens are sent one after the other in `chunk`, and take `back`."""

    @model_validator(mode="after")
    def _check_room(self) -> Self:
        for tokens in (self.kv_tokens, *self.kv_tokens_on.values()):
            if tokens is not None and tokens // self.block_tokens <= self.reserve:
                beside = " beside the one in reserve" if self.reserve else ""
                wrong = f"kv_tokens {tokens} has no room for a block of {self.block_tokens}{beside}"
                raise ValueError(f"{wrong}; write what the engine prints")
        return self

    @abstractmethod
    def planner(self) -> Planner:
        """Who decides what the steps of a replica compute that has just become ready."""

    @property
    @abstractmethod
    def block_tokens(self) -> int:
        """Tokens of a block of keys and values."""

    @property
    @abstractmethod
    def caches(self) -> bool:
        """Whether blocks that are free but still there are used again."""

    @property
    @abstractmethod
    def asynchronous(self) -> bool:
        """Whether a step is planned while the one before runs."""

    @property
    @abstractmethod
    def step_tokens(self) -> int:
        """Tokens that a step computes, at most."""

    @property
    @abstractmethod
    def longest(self) -> int:
        """Tokens of the longest request that can be served: longer ones are refused."""

    @property
    def room(self) -> int:
        """`kv_tokens`, which every case knows."""
        assert self.kv_tokens is not None
        return self.kv_tokens

    @property
    def blocks(self) -> int:
        """Blocks that requests can hold, of each rank."""
        return self.room // self.block_tokens - self.reserve

    @property
    def all_blocks(self) -> int:
        """Blocks that requests can hold, of all ranks together."""
        return self.blocks * self.data_parallel_size

    @property
    @abstractmethod
    def places(self) -> int:
        """Requests that run at a time, on each rank."""

    def largest(self) -> int:
        """Requests that run at a time."""
        return self.places * self.data_parallel_size

    def engine(
        self,
        law: Law,
        outputs: Outputs,
        pace: Callable[[int, int], int] | None,
        gone: Callable[[Job], bool] | None,
        factors: Iterator[int] | None,
        readings: Readings | None = None,
    ) -> Loop | Ranks:
        """The engine of a replica that has just become ready, or its ranks."""
        times, ranks = self.times(law), self.data_parallel_size
        if ranks > 1:
            planners = [self.planner() for _ in range(ranks)]
            return Ranks(planners, times, outputs, self.asynchronous, pace, gone, factors, readings)
        return Loop(
            self.planner(), times, outputs, self.asynchronous, pace, gone=gone, factors=factors, readings=readings
        )

    def on(self, instance: str) -> Self:
        """The same on machines of one type."""
        return self.model_copy(
            update={"kv_tokens": self.kv_tokens_on.get(instance, self.kv_tokens), "kv_tokens_on": {}}
        )

    @property
    def drafts(self) -> int:
        """Tokens that are drafted for each request that decodes, and verified beside its own."""
        return 0

    @property
    def gain(self) -> float:
        """Tokens that a step gives to a request that decodes, on average."""
        return 1.0

    @property
    def adapts(self) -> bool:
        """Whether it loads adapters that requests ask for."""
        return False

    def gains(self, uniform: Callable[[int, int], Floats], request: int, output: int) -> Integers:
        """Tokens that a request is given by each step in which it decodes, where tokens are drafted.

        `uniform` gives so many numbers of its workload from one of them on.
        """
        return ONE_BY_ONE

    def device(self, law: Law) -> StepTime:
        """How long steps take without the host's part."""
        assert isinstance(law, Steps)
        return law.times()

    def times(self, law: Law) -> StepTime:
        """How long steps take, the host's part included."""
        host, device = self.host, self.device(law)
        if host == EngineHost():
            return device
        return Hosted(device, host.fixed, host.per_request, self.asynchronous)

    def most(self, items: float) -> float:
        """Requests count, whatever they bring."""
        return self.largest() * items
