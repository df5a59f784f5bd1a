"""What a step of an LLM engine computes: vLLM's scheduler (v1, 0.11 to 0.30), whose settings keep their names.

A plan serves those that run first, in the order of their admission: a token for each that decodes, a chunk for each
whose prompt is not done. What is left of the token budget admits from the head of the queue. A request that finds no
free block takes those of the one admitted last, which computes them again later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush

from simulator.llm.blocks import Prefix
from simulator.llm.decoding import Decoding
from simulator.llm.holding import Holding
from simulator.llm.job import Job
from simulator.llm.plan import Plan, Settings


class Planner:
    """The queue and the running requests of one engine."""

    def __init__(self, settings: Settings, workloads: int = 0) -> None:
        self.settings = settings
        self.holding = Holding(settings.blocks, settings.block_size, settings.prefix_caching)
        self.blocks = self.holding.blocks
        self.decoding = Decoding(settings.block_size, workloads)
        self.running: dict[Job, None] = {}
        """In the order of their admission."""
        self.prefilling: list[Job] = []
        """Those of them whose prompt is not done."""
        self.waiting: deque[Job] = deque()
        self.urgent: list[tuple[int, int, int, Job]] = []
        """Those that wait under the priority policy, as a heap."""
        self.missed: list[Job] = []
        """Those with tokens whom the latest plans did not serve, until somebody writes down since when."""
        self.behind: dict[Job, None] = {}
        """Of those that decode: whom the plan before did not serve."""
        self.number = 0
        """Of the next plan."""
        self.preemptions = 0
        self.gone: Callable[[Job], bool] | None = None
        """Whether a request that waits is to be struck off; None where none ever is."""
        self._admitted = 0

    def add(self, job: Job) -> None:
        """A request waits."""
        if self.settings.priority:
            heappush(self.urgent, (job.priority, job.arrived, job.request, job))
        else:
            self.waiting.append(job)

    def finish(self, job: Job) -> None:
        """The last token of a request is there: its place and its blocks are free."""
        if job in self.running:  # it may have lost them while its last token was computed
            del self.running[job]
            self.holding.release(job, found=job.keeps)

    def plan(self) -> Plan:
        """The next step."""
        plan = Plan(self.number)
        budget = self._serve_running(plan)
        if not plan.preempted and not (self.running and self.settings.static):
            while budget > 0 and (job := self._head()) is not None:
                if self.gone is not None and self.gone(job):
                    self._drop_head()
                    continue
                fit = self._fit(job, budget, plan)
                if fit is None:
                    break
                budget -= self._admit(plan, job, *fit)
        plan.last += self.decoding.ended(self.number)
        if len(plan.last) > 1:  # their blocks are given back in the order of admission
            plan.last.sort(key=lambda job: job.order)
        self.number += 1
        return plan

    def steady(self) -> int:
        """How many of the next plans will serve those that decode and nobody else, up to one with which some end."""
        budget = self.settings.max_num_batched_tokens - self.decoding.count
        end = self.decoding.first_end()
        if end is None or self.prefilling or budget < 0 or not (budget == 0 or self._closed()):
            return 0
        return self.decoding.affordable(self.number, end - self.number + 1, self.blocks.free)

    def skip(self, count: int) -> list[Job]:
        """Makes so many of these plans at once; gives back those who end with the last of them."""
        self.blocks.take(self.takes(count))
        self.number += count
        return self.decoding.ended(self.number - 1)

    def takes(self, count: int) -> int:
        """Blocks that so many of these plans take."""
        rounds, rest = divmod(count, self.settings.block_size)
        return rounds * self.decoding.count + sum(self.decoding.crossing(self.number + at) for at in range(rest))

    def _closed(self) -> bool:
        """Whether nobody can be admitted until one of those that run ends."""
        if self.running and self.settings.static:
            return True
        job = self._head()
        if job is not None and self.gone is not None:
            return False
        if job is None or len(self.running) >= self.settings.max_num_seqs:
            return True
        return self.settings.whole_prompt_check and not self.holding.has_room(job)

    # Those that run.

    def _serve_running(self, plan: Plan) -> int:
        """Those that run; gives back what is left of the budget."""
        decoding, number = self.decoding, self.number
        crossing = decoding.crossing(number)
        budget = self.settings.max_num_batched_tokens - decoding.count
        counts = []
        for job in self.prefilling:
            counts.append(self._chunk(job, max(0, budget)))
            budget -= counts[-1]
            crossing += max(0, self.holding.needed(job.computed + counts[-1]) - job.blocks)
        if budget < 0 or crossing > self.blocks.free or (not budget and not self._prompts_last()):
            return self._serve_one_by_one(plan)
        self.blocks.take(crossing)
        if decoding.workloads:
            plan.workloads = tuple(decoding.workloads)
        if decoding.count:
            plan.decodes, plan.context = decoding.count, decoding.context(number)
            plan.longest = decoding.longest(number)
            if self.behind:
                plan.apart = tuple((job, True) for job in self.behind)
                self.behind.clear()
        for job, count in zip(tuple(self.prefilling), counts, strict=True):
            if count:
                job.blocks = max(job.blocks, self.holding.needed(job.computed + count))
                self._compute(plan, job, count)
        return budget

    def _prompts_last(self) -> bool:
        """Whether those whose prompts are not done were admitted after all that decode, and are served after them."""
        return all(one.last < 0 for one, _ in zip(reversed(self.running), self.prefilling, strict=False))

    def _serve_one_by_one(self, plan: Plan) -> int:
        """The same where the budget or the blocks do not suffice for all."""
        budget, number = self.settings.max_num_batched_tokens, self.number
        served: dict[Job, int] = {}
        for job in list(self.running):
            if budget <= 0:
                break
            if job not in self.running or 0 <= job.last < number:
                continue
            decodes = job.last >= number
            if decodes:
                self.decoding.settle(job, number)
            count = 1 if decodes else self._chunk(job, budget)
            needed = self.holding.needed(job.computed + count) - job.blocks
            while needed > self.blocks.free and job in self.running:
                victim = self._victim()
                plan.preempted = True
                budget += served.pop(victim, 0)
                self._preempt(victim)
            if job not in self.running:
                break
            self.blocks.take(needed)
            job.blocks += needed
            served[job] = count
            budget -= count
        self._note(plan, served)
        return budget

    def _note(self, plan: Plan, served: dict[Job, int]) -> None:
        """Writes down who was served; those that decode and were not do so a plan later."""
        workloads = [0] * len(self.decoding.workloads)
        for job in [job for job in self.running if job.last >= self.number]:
            if job in served:
                context = job.base + self.number + 1
                plan.decodes += 1
                plan.context += context
                plan.longest = max(plan.longest, context)
                if workloads:
                    workloads[job.workload] += 1
                if job in self.behind:
                    plan.apart += ((job, True),)
                    del self.behind[job]
            else:
                self.decoding.delay(job)
                self.missed.append(job)
                self.behind[job] = None
        plan.workloads = tuple(workloads)
        for job in [job for job in self.prefilling if job in served]:
            self._compute(plan, job, served[job])

    def _chunk(self, job: Job, budget: int) -> int:
        """Tokens of a prompt that a plan may compute."""
        count = job.prompt + job.issued - job.computed
        return min(count, self.settings.long_prefill_token_threshold or count, budget)

    def _compute(self, plan: Plan, job: Job, count: int) -> None:
        """The plan computes so many tokens of a prompt, whose blocks are there."""
        plan.chunks.append((count, job.computed))
        job.computed += count
        if job.pieces:
            self.holding.share(job)
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

    def _victim(self) -> Job:
        """Who loses their blocks."""
        if self.settings.priority:
            return max(self.running, key=lambda job: (job.priority, job.arrived))
        return next(reversed(self.running))

    def _preempt(self, job: Job) -> None:
        """A request loses its blocks, and waits for others at the head of the queue unless its last token is coming."""
        del self.running[job]
        ended = 0 <= job.last < self.number
        if job.last >= self.number:
            blocks = job.blocks  # more than it had before where the plan had served it
            self.decoding.settle(job, self.number)
            job.blocks = max(job.blocks, blocks)
            self.decoding.leave(job)
        elif not ended:
            self.prefilling.remove(job)
        self.holding.release(job, found=True)
        self.preemptions += 1
        job.preempted += 1
        if not ended:
            self.behind.pop(job, None)
            if job.issued:
                self.missed.append(job)
            job.lost += job.computed
            job.computed, job.last = 0, -1
            if self.settings.priority:
                self.add(job)
            else:
                self.waiting.appendleft(job)

    # Those that wait.

    def _head(self) -> Job | None:
        if self.settings.priority:
            return self.urgent[0][-1] if self.urgent else None
        return self.waiting[0] if self.waiting else None

    def _drop_head(self) -> None:
        if self.settings.priority:
            heappop(self.urgent)
        else:
            self.waiting.popleft()

    def _fit(self, job: Job, budget: int, plan: Plan) -> tuple[int, list[tuple[Prefix, int]]] | None:
        """Tokens that a plan may compute of one that waits, and what is found of it; None where it must wait on."""
        settings, holding = self.settings, self.holding
        if len(self.running) >= settings.max_num_seqs:
            return None
        known, found = job.prompt + job.issued, holding.found(job)
        hit = sum(depth for _, depth in found) * settings.block_size
        rest = known - hit
        if not settings.chunked_prefill and rest > budget:
            return None
        count = min(rest, settings.long_prefill_token_threshold or rest, budget)
        # Blocks that are found but that nobody holds must be taken out of the free ones too.
        held = sum(min(depth, prefix.held) for prefix, depth in found)
        free = self.blocks.free + held - (0 if plan.empty else settings.watermark)
        if holding.needed(known if settings.whole_prompt_check else hit + count) > free:
            return None
        return count, found

    def _admit(self, plan: Plan, job: Job, count: int, found: list[tuple[Prefix, int]]) -> int:
        """The head of the queue runs; gives back how many of its tokens are computed."""
        self._drop_head()
        self.holding.admit(job, found, count)
        job.order = self._admitted
        self._admitted += 1
        if not job.preempted:
            plan.begun.append(job)
        self.running[job] = None
        if job.computed + count < job.prompt + job.issued:
            self.prefilling.append(job)
        self._compute(plan, job, count)
        return count
