"""The orders of Hugging Face transformers' continuous batching (5.24), whose settings keep their names.

Those that run come first, then those that wait, in order of arrival. Where too few blocks are free nobody begins or
goes on with a prompt unless the plan is empty otherwise. Who finds no block is passed over; of those that run and were
passed over the last ones give up their blocks until there are enough for the others, wait after everybody else, and
nobody is let in before somebody has ended.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from simulator.llm.job import Job
from simulator.llm.plan import Plan
from simulator.llm.planner import Planner


class Settings(Protocol):
    """What can be set of it."""

    @property
    def max_batch_tokens(self) -> int:
        """Tokens that a step computes."""

    @property
    def max_requests_per_batch(self) -> int:
        """Requests in a step."""

    @property
    def page_size(self) -> int:
        """Tokens of a block."""

    @property
    def blocks(self) -> int:
        """Those of the KV cache."""

    @property
    def margin(self) -> float:
        """Share of the blocks that must be free for prompts to be computed beside others."""

    @property
    def allow_block_sharing(self) -> bool:
        """Whether blocks that are free but still there are used again."""

    @property
    def prompts_first(self) -> bool:
        """Whether prompts that are not done come before those that decode."""


class Transformers(Planner):
    """First those that decode, then prompts that are not done (or the other way round), then those that wait."""

    looks_back: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.blocks, settings.page_size, settings.allow_block_sharing)
        self.settings = settings
        self.blocked = False
        """Whether nobody is let in until somebody ends."""

    def finish(self, job: Job) -> None:
        """Its place and its blocks are free, and others can be let in again."""
        super().finish(job)
        self.blocked = False

    def roomy(self) -> bool:
        """Whether so many blocks are free that prompts are computed beside others."""
        return self.blocks.free / self.blocks.total >= self.settings.margin

    def _fill(self, plan: Plan) -> None:
        filling = _Filling(self, plan)
        if self.settings.prompts_first:
            filling.take_prompts()
            filling.take_decodes()
        else:
            filling.take_decodes()
            filling.take_prompts()
        for job, count in filling.chunks:
            self._compute(plan, job, count)
        if not self.blocked:
            self._let_in(filling)
        self._relieve(plan, filling.starved)
        for job in filling.unserved:
            if job in self.running:
                self._pass_over(job)

    def _closed(self) -> bool:
        decodes, settings = self.decoding.count, self.settings
        most = min(settings.max_batch_tokens, settings.max_requests_per_batch)
        return decodes == most or (decodes < most and (not self.waiting or self.blocked or not self.roomy()))

    def _let_in(self, filling: _Filling) -> None:
        """Those that wait, past those for whose first tokens there are no blocks."""
        passed = []
        while filling.prompt() and self.blocks.free and (job := self._next()) is not None:
            self._drop_head()
            found = self.holding.found(job)
            hit = sum(depth for _, depth in found)
            count = min(job.prompt + job.issued - hit * self.holding.size, filling.tokens)
            # Blocks that are found but that nobody holds must be taken out of the free ones too.
            held = sum(min(depth, prefix.held) for prefix, depth in found)
            if self.holding.needed(hit * self.holding.size + count) - held > self.blocks.free:
                passed.append(job)
                continue
            filling.serve(count)
            self._admit(filling.plan, job, count, found)
        self.waiting.extendleft(reversed(passed))

    def _relieve(self, plan: Plan, starved: list[tuple[Job, int]]) -> None:
        """The last of those that found no blocks give up their own, until there are enough for the others."""
        victims = []
        while len(self.running) > 1 and sum(needed for _, needed in starved) > self.blocks.free:
            victims.append(starved.pop()[0])
            self._preempt(plan, victims[-1])
        if victims:
            self.waiting.extend(reversed(victims))
            self.blocked = True

    def _put_back(self, job: Job) -> None:
        """Those that lost their blocks wait together, after all others."""


class _Filling:
    """A plan that is made: what is left of its tokens, its places and the room."""

    def __init__(self, planner: Transformers, plan: Plan) -> None:
        self.planner, self.plan, settings = planner, plan, planner.settings
        self.tokens, self.places = settings.max_batch_tokens, settings.max_requests_per_batch
        self.roomy, self.empty, self.over = planner.roomy(), True, False
        self.chunks: list[tuple[Job, int]] = []
        """Whose prompts go on, and by how many tokens."""
        self.starved: list[tuple[Job, int]] = []
        """Those that run and find no blocks, as they were asked, and how many they need."""
        self.unserved: list[Job] = []
        """Those that decode and get no token."""

    def serve(self, count: int, requests: int = 1) -> None:
        """So many tokens are part of it; once tokens or places are gone nobody else is."""
        self.tokens, self.places = self.tokens - count, self.places - requests
        self.empty = self.empty and not requests
        self.over = self.over or not (self.tokens and self.places)

    def prompt(self) -> bool:
        """Whether a prompt may be part of it; if not, nobody comes after it either."""
        self.over = self.over or not (self.roomy or self.empty)
        return not self.over

    def take_decodes(self) -> None:
        """A token for each."""
        planner, count = self.planner, self.planner.decoding.count
        crossing = planner.decoding.crossing(planner.number)
        if not self.over and count <= min(self.tokens, self.places) and crossing <= planner.blocks.free:
            planner.blocks.take(crossing)
            planner._decode(self.plan)
            self.serve(count, count)
        else:
            self._decode_one_by_one()

    def _decode_one_by_one(self) -> None:
        """The same where there is not enough for all."""
        planner, plan, number = self.planner, self.plan, self.planner.number
        gains = [0] * len(planner.decoding.workloads)
        for job in [job for job in planner.running if job.last >= number]:
            planner.decoding.settle(job, number)
            if self.over or not self._find(job, 1):
                self.unserved.append(job)
                continue
            plan.decodes, plan.context = plan.decodes + 1, plan.context + job.computed + 1
            plan.longest = max(plan.longest, job.computed + 1)
            planner._serve(plan, job, gains)
            self.serve(1)
        plan.gains = tuple(gains)

    def take_prompts(self) -> None:
        """As many tokens as there are for each prompt that is not done."""
        for job in self.planner.prefilling:
            if not self.prompt():
                return
            count = min(job.prompt + job.issued - job.computed, self.tokens)
            if self._find(job, count):
                self.chunks.append((job, count))
                self.serve(count)

    def _find(self, job: Job, count: int) -> bool:
        """Blocks for so many tokens more of one that runs."""
        holding, blocks = self.planner.holding, self.planner.blocks
        needed = max(0, holding.needed(job.computed + count) - job.blocks)
        if needed > blocks.free:
            self.starved.append((job, needed))
            return False
        blocks.take(needed)
        job.blocks += needed
        return True
