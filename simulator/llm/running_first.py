"""Orders that serve those that run first, in the order of their admission.

A token for each that decodes, a chunk for each whose prompt is not done; what is left of the budget admits others. A
request that finds no free block takes those of the one admitted last, which computes them again later.
"""

from __future__ import annotations

from simulator.llm.job import Job
from simulator.llm.plan import Plan
from simulator.llm.planner import Planner
from simulator.llm.verifying import Verifying


class RunningFirst(Planner):
    """Those that run come first; whom to admit is left open."""

    def __init__(self, blocks: int, block_size: int, caching: bool, budget: int, threshold: int = 0) -> None:
        super().__init__(blocks, block_size, caching)
        self.budget = budget
        """Tokens that a plan computes."""
        self.threshold = threshold
        """The most tokens of one prompt in a plan; 0: no such bound."""

    def _serve_running(self, plan: Plan) -> int:
        """Those that run; gives back what is left of the budget."""
        decoding = self.decoding
        crossing = decoding.crossing(self.number)
        budget = self.budget - decoding.count * (1 + self.drafts)
        counts = []
        for job in self.prefilling:
            counts.append(count := self._chunk(job, max(0, budget)))
            budget -= count
            if count:
                crossing += max(0, self.holding.needed(job.computed + count + self.drafts) - job.blocks)
        if budget < 0 or crossing > self.blocks.free or (not budget and not self._prompts_last()):
            return self._serve_one_by_one(plan)
        self.blocks.take(crossing)
        self._decode(plan)
        for job, count in zip(tuple(self.prefilling), counts, strict=True):
            if count:
                job.blocks = max(job.blocks, self.holding.needed(job.computed + count + self.drafts))
                self._compute(plan, job, count)
        return budget

    def _prompts_last(self) -> bool:
        """Whether those whose prompts are not done were admitted after all that decode, and are served after them."""
        return all(one.last < 0 for one, _ in zip(reversed(self.running), self.prefilling, strict=False))

    def _serve_one_by_one(self, plan: Plan) -> int:
        """The same where the budget or the blocks do not suffice for all."""
        budget, number = self.budget, self.number
        served: dict[Job, int] = {}
        for job in list(self.running):
            if budget <= 0:
                break
            if job not in self.running or 0 <= job.last < number:
                continue
            decodes = job.last >= number
            if decodes:
                self.decoding.settle(job, number)
            count = min(1 + self.drafts, budget) if decodes else self._chunk(job, budget)
            needed = self.holding.needed(job.computed + count + self.drafts) - job.blocks
            while needed > self.blocks.free and job in self.running:
                victim = self._victim()
                budget += served.pop(victim, 0)
                self._preempt(plan, victim)
            if job not in self.running:
                break
            if needed > 0:
                self.blocks.take(needed)
                job.blocks += needed
            served[job] = count
            budget -= count
        self._note(plan, served)
        return budget

    def _note(self, plan: Plan, served: dict[Job, int]) -> None:
        """Writes down who was served; those that decode and were not do so a plan later."""
        gains = [0] * len(self.decoding.workloads)
        for job in [job for job in self.running if job.last >= self.number]:
            if job in served:
                self._serve(plan, job, gains)
                count = served[job]
                context = job.prompt + job.issued - 1 + count
                plan.decodes += 1
                plan.drafts += count - 1
                plan.context += context
                plan.longest = max(plan.longest, context)
                if isinstance(self.decoding, Verifying) and count <= self.drafts:
                    self.decoding.trim(job, self.number, count)
            else:
                self._pass_over(job)
        plan.gains = tuple(gains)
        for job in [job for job in self.prefilling if served.get(job)]:
            self._compute(plan, job, served[job])

    def _chunk(self, job: Job, budget: int) -> int:
        """Tokens of a prompt that a plan may compute."""
        count = job.prompt + job.issued - job.computed
        return min(count, self.threshold or count, budget)

    def _victim(self) -> Job:
        """Who loses their blocks."""
        return next(reversed(self.running))
