"""The order of TensorRT-LLM's scheduler, as its documentation and source have it; it was held against no log.

Those that run come first, those that decode before prompts. Who is let in takes blocks for its whole prompt. By default
there must be room for all that anybody may ask for, so that nobody ever gives way; or as many run as there is room for
now, and the one let in last gives way.
"""

from __future__ import annotations

from typing import Protocol

from simulator.llm.blocks import Prefix
from simulator.llm.job import Job
from simulator.llm.plan import Plan
from simulator.llm.running_first import RunningFirst


class Settings(Protocol):
    """What can be set of it."""

    @property
    def blocks(self) -> int:
        """Those of the KV cache."""

    @property
    def tokens_per_block(self) -> int:
        """Tokens of a block."""

    @property
    def max_batch_size(self) -> int:
        """Requests that run at a time."""

    @property
    def max_num_tokens(self) -> int:
        """Tokens that a step computes."""

    @property
    def evicts(self) -> bool:
        """Whether as many run as there is room for now."""

    @property
    def enable_chunked_prefill(self) -> bool:
        """Whether a prompt may be computed over several steps."""

    @property
    def enable_block_reuse(self) -> bool:
        """Whether blocks that are free but still there are used again."""

    @property
    def max_tokens(self) -> int:
        """Tokens that requests ask for."""


class TensorRtLlm(RunningFirst):
    """First come first served."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            settings.blocks, settings.tokens_per_block, settings.enable_block_reuse, settings.max_num_tokens
        )
        self.settings = settings
        self._promised = 0
        """Blocks that those that run have when they end, at most; those that several hold count for each."""

    def finish(self, job: Job) -> None:
        """The last token of a request is there: its place and its blocks are free."""
        if job in self.running and not job.stays:
            self._promised -= self._to_end(job)
        super().finish(job)

    def release(self, job: Job) -> None:
        """The blocks of a request that stayed when it had ended are needed no more."""
        if job.stays:
            self._promised -= self._to_end(job)
        super().release(job)

    def _fill(self, plan: Plan) -> None:
        budget = self._serve_running(plan)
        while not plan.preempted and budget > 0 and (job := self._next()) is not None:
            if len(self.running) >= self.settings.max_batch_size:
                break
            found = self.holding.found(job)
            rest = job.prompt + job.issued - self.holding.there(job, found)
            count = self._part(rest, budget)
            if not count or not self._has_room(job, found):
                break
            self._drop_head()
            self._promised += self._to_end(job)
            self._admit(plan, job, count, found, room=rest)
            budget -= count

    def _closed(self) -> bool:
        if self.budget <= self.decoding.count:
            return self.budget == self.decoding.count
        job = self._head()
        if job is not None and self.gone is not None:
            return False
        if job is None or len(self.running) >= self.settings.max_batch_size:
            return True
        return not self._has_room(job, self.holding.found(job))

    def _has_room(self, job: Job, found: list[tuple[Prefix, int]]) -> bool:
        """Whether a request that waits can be let in."""
        if self.settings.evicts:
            held = sum(min(depth, prefix.held) for prefix, depth in found)
            return self.holding.needed(job.prompt + job.issued) - held <= self.blocks.free
        return self._promised - self.blocks.again + self._to_end(job) <= self.blocks.total

    def _to_end(self, job: Job) -> int:
        """Blocks of a request that gets all it asks for."""
        asked = max(job.output, self.settings.max_tokens)
        return min(self.holding.needed(job.prompt + asked), self.blocks.total)

    def _chunk(self, job: Job, budget: int) -> int:
        return self._part(job.prompt + job.issued - job.computed, budget)

    def _part(self, rest: int, budget: int) -> int:
        """Tokens of a prompt that a plan may compute: all, or whole blocks, or none."""
        if rest <= budget:
            return rest
        return budget // self.holding.size * self.holding.size if self.settings.enable_chunked_prefill else 0

    def _prompts_last(self) -> bool:
        return True

    def _serve_one_by_one(self, plan: Plan) -> int:
        while self.decoding.crossing(self.number) > self.blocks.free:
            self._preempt(plan, self._victim())
        return self._serve_running(plan)

    def _preempt(self, plan: Plan, job: Job) -> None:
        self._promised -= self._to_end(job)
        super()._preempt(plan, job)
