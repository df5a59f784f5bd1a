"""The order of vLLM's scheduler (v1, 0.11 to 0.30), whose settings keep their names."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Protocol

from simulator.llm.blocks import Prefix
from simulator.llm.job import Job
from simulator.llm.plan import Plan
from simulator.llm.running_first import RunningFirst


class Settings(Protocol):
    """What can be set of it."""

    @property
    def max_num_seqs(self) -> int:
        """Requests that run at a time."""

    @property
    def max_num_batched_tokens(self) -> int:
        """Tokens that a step computes."""

    @property
    def block_size(self) -> int:
        """Tokens of a block."""

    @property
    def blocks(self) -> int:
        """Those of the KV cache."""

    @property
    def chunked_prefill(self) -> bool:
        """Whether a prompt may be computed over several steps."""

    @property
    def long_prefill_token_threshold(self) -> int:
        """The most tokens of one prompt in a step; 0: no such bound."""

    @property
    def whole_prompt_check(self) -> bool:
        """Whether a prompt is let in only if there is room for all of it."""

    @property
    def watermark(self) -> int:
        """Blocks that stay free when a prompt is let in beside others."""

    @property
    def prefix_caching(self) -> bool:
        """Whether blocks that are free but still there are used again."""

    @property
    def static(self) -> bool:
        """Whether nobody is let in before all that run have ended."""

    @property
    def priority(self) -> bool:
        """Whether the most urgent is let in first, and the least urgent gives way."""

    @property
    def drafts(self) -> int:
        """Tokens that are drafted for each request that decodes; 0: none."""

    @property
    def asynchronous(self) -> bool:
        """Whether a step is planned while the one before runs."""


class Vllm(RunningFirst):
    """First come first served, or the most urgent first."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            settings.blocks,
            settings.block_size,
            settings.prefix_caching,
            settings.max_num_batched_tokens,
            settings.long_prefill_token_threshold,
        )
        self.settings = settings
        if settings.drafts:
            self._draft(settings.drafts, settings.asynchronous)
        self.urgent: list[tuple[int, int, int, Job]] | None = [] if settings.priority else None
        """Those that wait under the priority policy, as a heap."""

    def add(self, job: Job) -> None:
        """A request waits."""
        if self.urgent is None:
            self.waiting.append(job)
        else:
            heappush(self.urgent, (job.priority, job.arrived, job.request, job))

    def _fill(self, plan: Plan) -> None:
        budget = self._serve_running(plan)
        if plan.preempted or (self.settings.static and self.running):
            return
        while budget > 0 and (job := self._next()) is not None:
            fit = self._fit(job, budget, plan)
            if fit is None:
                break
            self._drop_head()
            self._admit(plan, job, *fit)
            budget -= fit[0]

    def _closed(self) -> bool:
        left = self.budget - self.decoding.count
        if left <= 0:
            return left == 0
        if self.running and self.settings.static:
            return True
        job = self._head()
        if job is not None and self.gone is not None:
            return False
        if job is None or len(self.running) >= self.settings.max_num_seqs:
            return True
        return self.settings.whole_prompt_check and not self.holding.has_room(job)

    def _fit(self, job: Job, budget: int, plan: Plan) -> tuple[int, list[tuple[Prefix, int]]] | None:
        """Tokens that a plan may compute of one that waits, and what is found of it; None where it must wait on."""
        settings, holding = self.settings, self.holding
        if len(self.running) >= settings.max_num_seqs:
            return None
        known, found = job.prompt + job.issued, holding.found(job)
        hit = holding.there(job, found)
        rest = known - hit
        if not settings.chunked_prefill and rest > budget:
            return None
        count = min(rest, settings.long_prefill_token_threshold or rest, budget)
        # Blocks that are found but that nobody holds must be taken out of the free ones too.
        held = sum([min(depth, prefix.held) for prefix, depth in found])
        free = self.blocks.free + held - (0 if plan.empty else settings.watermark)
        if holding.needed(known if settings.whole_prompt_check else hit + count) > free:
            return None
        return count, found

    def _victim(self) -> Job:
        if self.urgent is not None:
            return max(self.running, key=lambda job: (job.priority, job.arrived))
        return super()._victim()

    def _put_back(self, job: Job) -> None:
        if self.urgent is None:
            super()._put_back(job)
        else:
            self.add(job)

    def queued(self) -> int:
        """Whichever line they wait in."""
        return len(self.waiting) + len(self.urgent or ())

    def _head(self) -> Job | None:
        if self.urgent is None:
            return self.waiting[0] if self.waiting else None
        return self.urgent[0][-1] if self.urgent else None

    def _drop_head(self) -> None:
        if self.urgent is None:
            self.waiting.popleft()
        else:
            heappop(self.urgent)
