"""How a real LLM engine is set up: what its own configuration says, and what the simulator is told of it."""

from __future__ import annotations

from pydantic import Field

from simulator.batching import Transformers
from simulator.component import Record


class EngineSetup(Record):
    """Continuous batching of transformers on this machine; fields bear the names of its configuration."""

    emulated: bool = False
    """Whether a device is emulated that sleeps for each step, or a tiny Llama computes on one thread of the CPU."""
    num_blocks: int = Field(64, ge=2, le=4096)
    """Blocks of keys and values."""
    page_size: int = Field(256, ge=4, le=4096)
    """Tokens of a block."""
    max_batch_tokens: int = Field(256, ge=1, le=8192)
    """Tokens that a step computes; as many requests run at most."""

    @property
    def label(self) -> str:
        """Such as `tiny Llama: transformers, 64 blocks of 256, steps of 256`."""
        device = "emulated accelerator" if self.emulated else "tiny Llama"
        room = f"{self.num_blocks} blocks of {self.page_size}"
        return f"{device}: transformers, {room}, steps of {self.max_batch_tokens}"

    def batching(self) -> Transformers:
        """The engine as the simulator has it: on a CPU it plans a step when the one before has ended."""
        return Transformers(
            kv_tokens=self.num_blocks * self.page_size,
            page_size=self.page_size,
            max_batch_tokens=self.max_batch_tokens,
        )
