"""What the schedulers of LLM engines share: who waits, who runs, the blocks that they hold, plans without any change.

The order in which requests are served is each engine's own: `vllm` and its neighbours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import ClassVar

from simulator.llm.blocks import Prefix
from simulator.llm.decoding import Decoding
from simulator.llm.holding import Holding
from simulator.llm.job import Job
from simulator.llm.plan import Plan
from simulator.llm.verifying import Verifying


class Planner(ABC):
    """The queue and the running requests of one engine.

    An order says what a plan computes (`_fill`) and when nobody can be admitted (`_closed`), by which many plans are
    made at once.
    """

    looks_back: ClassVar[bool] = True
    """Whether one that lost its blocks looks for them when it comes back."""

    def __init__(self, blocks: int, block_size: int, caching: bool) -> None:
        self.holding = Holding(blocks, block_size, caching)
        self.blocks = self.holding.blocks
        self.decoding: Decoding | Verifying = Decoding(block_size)
        self.drafts = 0
        """Tokens that are drafted for each that decodes, and verified beside its own; as many more have room kept."""
        self.running: dict[Job, None] = {}
        """In the order of their admission."""
        self.prefilling: list[Job] = []
        """Those of them whose prompt is not done."""
        self.waiting: deque[Job] = deque()
        self.missed: list[Job] = []
        """Those with tokens whom the latest plans did not serve, until somebody writes down since when."""
        self.behind: dict[Job, None] = {}
        """Of those that decode: whom the plan before did not serve."""
        self.number = 0
        """Of the next plan in which those that decode get a token."""
        self.preemptions = 0
        self.gone: Callable[[Job], bool] | None = None
        """Whether a request that waits is to be struck off; None where none ever is."""
        self._admitted = 0

    @abstractmethod
    def _fill(self, plan: Plan) -> None:
        """Decides what a plan computes."""

    @abstractmethod
    def _closed(self) -> bool:
        """Whether plans serve those that decode and nobody else until one of them ends.

        Asked only where all that run decode; blocks may run out before.
        """

    def add(self, job: Job) -> None:
        """A request waits."""
        self.waiting.append(job)

    @property
    def waits(self) -> bool:
        """Whether anybody waits."""
        return self._head() is not None

    def finish(self, job: Job) -> None:
        """The last token of a request is there: its place and its blocks are free."""
        if job in self.running:  # it may have lost them while its last token was computed
            del self.running[job]
            if not job.stays:
                self.holding.release(job, found=job.keeps)
        else:
            job.stays = False

    def release(self, job: Job) -> None:
        """The blocks of a request that stayed when it had ended are needed no more."""
        if job.stays:
            self.holding.release(job, found=job.keeps)

    def plan(self) -> Plan:
        """The next step."""
        plan = Plan(self.number)
        self._fill(plan)
        plan.last += self.decoding.ended(self.number)
        if len(plan.last) > 1:  # their blocks are given back in the order of admission
            plan.last.sort(key=lambda job: job.order)
        self.number += 1
        return plan

    def steady(self) -> int:
        """How many of the next plans will serve those that decode and nobody else, up to one with which some end."""
        end = self.decoding.first_end()
        if end is None or self.prefilling or not self._closed():
            return 0
        return self.decoding.affordable(self.number, end - self.number + 1, self.blocks.free)

    def skip(self, count: int) -> list[Job]:
        """Makes so many of these plans at once; gives back those who end with the last of them."""
        self.blocks.take(self.takes(count))
        self.number += count
        return self.decoding.ended(self.number - 1)

    def takes(self, count: int) -> int:
        """Blocks that so many of these plans take."""
        rounds, rest = divmod(count, self.holding.size)
        return rounds * self.decoding.count + sum(self.decoding.crossing(self.number + at) for at in range(rest))

    def crossings(self) -> list[int]:
        """Blocks that those who decode take for one plan after another, as `Decoding` has them; not asked of drafts."""
        assert isinstance(self.decoding, Decoding)
        return self.decoding.crossings

    # What plans are made of.

    def _draft(self, tokens: int, ahead: bool) -> None:
        """So many tokens are drafted for each that decodes; `ahead` if steps are planned while others run."""
        self.drafts, self.decoding = tokens, Verifying(self.holding.size, tokens, ahead)

    def _decode(self, plan: Plan) -> None:
        """A token for each that decodes; their blocks are taken."""
        decoding = self.decoding
        if decoding.count:
            plan.decodes, plan.context = decoding.count, decoding.context(self.number)
            plan.longest, plan.drafts = decoding.longest(self.number), decoding.count * self.drafts
            plan.gains = decoding.gains(self.number)
            if self.behind:
                plan.apart = tuple((job, True) for job in self.behind)
                self.behind.clear()

    def _serve(self, plan: Plan, job: Job, gains: list[int]) -> None:
        """One that decodes gets a token where not all do; `gains` counts it."""
        gains[job.workload] += job.issued < job.output
        if job in self.behind:
            plan.apart += ((job, True),)
            del self.behind[job]

    def _pass_over(self, job: Job) -> None:
        """One that decodes gets no token."""
        self.decoding.delay(job, self.number)
        self._miss(job)

    def _miss(self, job: Job) -> None:
        """One that decodes has its next token later than those that get one from each plan."""
        if job.issued < job.output and job not in self.behind:
            self.missed.append(job)
            self.behind[job] = None

    def _compute(self, plan: Plan, job: Job, count: int) -> None:
        """So many tokens of a prompt, whose blocks are taken."""
        if job.received:
            plan.decodes, plan.context = plan.decodes + 1, plan.context + job.computed + 1
            plan.longest = max(plan.longest, job.computed + 1)
        else:
            plan.chunks.append((count, job.computed))
        job.computed += count
        if job.pieces:
            self._share(job)
        if job.computed < job.prompt + job.issued:
            return
        if job in self.prefilling:
            self.prefilling.remove(job)
        if not job.issued:
            plan.first.append(job)
        else:
            plan.apart += ((job, False),)
        job.issued += 1
        if job.issued == job.output:
            job.last = self.number
            plan.last.append(job)
        else:
            self.decoding.begin(job, self.number + 1)

    def _share(self, job: Job) -> None:
        """What was computed of a prompt can be found by others, those of the same plan included."""
        self.holding.share(job)

    def _admit(self, plan: Plan, job: Job, count: int, found: list[tuple[Prefix, int]], room: int = 0) -> None:
        """One that waited runs, and so many of its tokens are computed after those that were found.

        It takes blocks for these, or for `room` tokens if that is more.
        """
        self.holding.admit(job, found, max(count, room))
        plan.joined, job.order = True, self._admitted
        self._admitted += 1
        if not job.preempted:
            plan.begun.append(job)
        self.running[job] = None
        if job.computed + count < job.prompt + job.issued:
            self.prefilling.append(job)
        self._compute(plan, job, count)

    def _preempt(self, plan: Plan, job: Job) -> None:
        """One that runs loses its blocks, and waits again unless its last token is coming."""
        plan.preempted = True
        del self.running[job]
        ended = 0 <= job.last < self.number
        if job.last >= self.number:
            blocks = job.blocks  # more than it had before where the plan had served it
            self.decoding.settle(job, self.number)
            job.blocks = max(job.blocks, blocks)
            self.decoding.leave(job)
            ended = job.issued == job.output
        elif not ended:
            self.prefilling.remove(job)
        self.holding.release(job, found=self.looks_back)
        self.preemptions += 1
        job.preempted += 1
        self.behind.pop(job, None)
        if not ended:
            if job.issued:
                self.missed.append(job)
            job.lost += job.computed
            job.computed = job.received = 0
            job.last = -1
            self._put_back(job)

    # Those that wait.

    def queued(self) -> int:
        """How many do."""
        return len(self.waiting)

    def _put_back(self, job: Job) -> None:
        """One that lost its blocks waits before all others."""
        self.waiting.appendleft(job)

    def _head(self) -> Job | None:
        """Who is let in next."""
        return self.waiting[0] if self.waiting else None

    def _drop_head(self) -> None:
        self.waiting.popleft()

    def _next(self) -> Job | None:
        """Who is let in next, once those before who have given up are struck off."""
        while (job := self._head()) is not None and self.gone is not None and self.gone(job):
            self._drop_head()
        return job
