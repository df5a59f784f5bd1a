"""The order of SGLang's scheduler, as its documentation and source have it; it was held against no log.

Prompts come first: while one can be computed those that decode wait, or (mixed chunk) ride along. Who is let in must
find room for its prompt, its answer, and a part of the answers under way. That part shrinks as they go on; when it was
too small, some give way and it grows.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from simulator.llm.asking import Asking
from simulator.llm.job import Job
from simulator.llm.plan import Plan
from simulator.llm.planner import Planner

CLIP = 4096
"""The most tokens of an answer for which room is kept."""
FIRST, LEAST, DECAY = 0.7, 0.14, 600
"""The part of answers for which room is kept at first, what that comes down to, and in how many steps."""
AHEAD = 20
"""Once somebody must give way, so many steps of all that stay have room."""
SORTED = 128
"""When more wait, nobody looks for the longest prefix."""
_UNBOUNDED = 1 << 60


class Settings(Protocol):
    """What can be set of it."""

    @property
    def blocks(self) -> int:
        """Pages of the KV cache."""

    @property
    def page_size(self) -> int:
        """Tokens of a page."""

    @property
    def max_running_requests(self) -> int:
        """Requests that run at a time."""

    @property
    def chunked_prefill_size(self) -> int:
        """Tokens of prompts in a step; below 0: no such bound."""

    @property
    def max_prefill_tokens(self) -> int:
        """The same where prompts are not cut: the first may be longer."""

    @property
    def enable_mixed_chunk(self) -> bool:
        """Whether those that decode ride along with prompts."""

    @property
    def schedule_policy(self) -> str:
        """`lpm`: who finds the longest prefix comes first."""

    @property
    def schedule_conservativeness(self) -> float:
        """By how much the part is multiplied for which room is kept."""

    @property
    def disable_radix_cache(self) -> bool:
        """Whether nothing is found again."""

    @property
    def max_new_tokens(self) -> int:
        """Tokens that requests ask for."""


class SgLang(Planner):
    """First come first served, or the longest prefix first. Those who give way wait behind all others."""

    decoding: Asking

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.blocks, settings.page_size, not settings.disable_radix_cache)
        self.settings = settings
        self.decoding = Asking(settings.page_size, self.asked, CLIP)
        self.number = 1
        self.full = False
        """Whether nobody is looked at who waits: somebody did not fit, and no change was noticed since."""
        self._ended = 0
        """Who has left; it is noticed when those that decode are gone through."""
        self._rode = False
        """Whether the last plan had them beside prompts."""
        self._fresh: list[Job] = []
        """Whose prompts were computed in the last plan: from now on others find them."""
        self._first = min(1.0, FIRST * settings.schedule_conservativeness)
        self._ratio, self._decays = self._first, 0

    def asked(self, job: Job) -> int:
        """Tokens that a request asks for, as far as there is room for it alone."""
        room = self.blocks.total * self.holding.size - job.prompt - 2
        return max(job.output, min(self.settings.max_new_tokens, room))

    @property
    def ratio(self) -> float:
        """The part of answers under way for which room is kept."""
        least = LEAST * self._first
        return max(self._ratio - self._decays * ((self._first - least) / DECAY), least)

    def finish(self, job: Job) -> None:
        """The last token of a request is there; its place is free once that is noticed."""
        self._let_find()
        self._ended += job in self.running
        super().finish(job)

    def release(self, job: Job) -> None:
        """The blocks of a request that stayed when it had ended are needed no more."""
        self._let_find()
        super().release(job)

    def skip(self, count: int) -> list[Job]:
        """Makes so many plans at once of those that decode."""
        if count:
            self._decays += count
            self._notice()
        return super().skip(count)

    def _closed(self) -> bool:
        return not self.waiting or (self.full and not self._ended)

    def _fill(self, plan: Plan) -> None:
        self._let_find()
        if not (self.running or self.waiting):
            self._ratio, self._decays = self._first, 0
        if not self.decoding.count:
            self.full, self._ended = False, 0
        elif self._rode:
            self._notice()
        self._rode = False
        prompts = bool(self.prefilling or (self.waiting and not self.full))
        head = self._head()
        sent = head is not None and head.received > 0
        if prompts and (sent or (self.settings.enable_mixed_chunk and self.decoding.count)):
            if self._ride(plan):
                return
        elif prompts:
            left = self.decoding.left(self.number, self.running)
            decoding = [job for job in self.running if job.last >= self.number]
            self.number -= 1  # a plan of prompts alone gives nothing to those that decode: it does not count
            self._take_prompts(plan, left)
            if plan.chunks:
                for job in decoding:
                    self._miss(job)
                return
            self.number += 1
        self._go_on(plan)

    # Prompts.

    def _ride(self, plan: Plan) -> bool:
        """Those that decode beside prompts, or beside those whose prompts were computed elsewhere.

        Gives back whether that was possible.
        """
        left, crossing = self.decoding.left(self.number, self.running), self.decoding.crossing(self.number)
        if crossing <= self.blocks.free:
            self.blocks.take(crossing)
            self._decode(plan)
        elif self.prefilling:
            self._wait()
        else:
            return False
        self._take_prompts(plan, left)
        if plan.chunks:
            self._rode = True
        elif plan.decodes:
            self._decays += 1
            self._notice()
        return True

    def _take_prompts(self, plan: Plan, left: int) -> None:
        """The rest of a prompt that was cut, and those who wait; `left` is what those that decode still ask for."""
        settings, size = self.settings, self.holding.size
        kept = self.ratio * left
        beside = plan.decodes if settings.enable_mixed_chunk else 0
        chunk = settings.chunked_prefill_size - beside if settings.chunked_prefill_size > 0 else _UNBOUNDED
        budget = settings.max_prefill_tokens - beside
        for cut in tuple(self.prefilling):  # one at most
            future, rest = self._future(cut), cut.prompt + cut.issued - cut.computed
            count = min(rest, max(0, chunk))
            if count:
                self._compute(plan, cut, count)
            if count < rest:
                return
            kept, chunk, budget = kept + future, chunk - count, budget - count
        self._sort()
        while chunk > 0 and budget > 0 and (job := self._next()) is not None:
            found, future = self.holding.found(job), self._future(job)
            hits = sum(depth for _, depth in found)
            known = job.prompt + job.issued
            rest = known - self.holding.there(job, found)
            free = self.blocks.free - hits + sum(min(depth, prefix.held) for prefix, depth in found)
            taken = len(self.running) + self._ended
            if taken >= settings.max_running_requests or known - hits * size + future >= free * size - kept:
                self.full = True
                return
            pages = self.holding.needed(rest) * size
            count = rest if pages <= chunk else chunk // size * size
            if count <= 0 or (pages >= budget and plan.chunks):
                return
            self._drop_head()
            self._admit(plan, job, count, found, room=rest)
            if count < rest:
                return
            kept, chunk, budget = kept + future, chunk - pages, budget - pages

    def _sort(self) -> None:
        """Who finds the longest prefix comes first, if that is wanted; the order stays for later."""
        if self.settings.schedule_policy == "lpm" and self.holding.caching and len(self.waiting) <= SORTED:
            found = {job: sum(depth for _, depth in self.holding.found(job)) for job in self.waiting}
            self.waiting = deque(sorted(self.waiting, key=lambda job: -found[job]))

    def _future(self, job: Job) -> int:
        """Tokens of its answer for which a request must find room."""
        return min(self.asked(job) - job.issued, CLIP)

    def _share(self, job: Job) -> None:
        self._fresh.append(job)

    def _let_find(self) -> None:
        for job in self._fresh:
            self.holding.share(job)
        self._fresh.clear()

    # Those that decode.

    def _go_on(self, plan: Plan) -> None:
        """A token for each that decodes; some give way where there is no room for that."""
        decoding = self.decoding
        if not decoding.count:
            return
        if decoding.crossing(self.number) > self.blocks.free:
            self._retract(plan)
        else:
            self._decays += 1
        crossing = decoding.crossing(self.number)
        if crossing > self.blocks.free:  # one is left, and others whose last token is coming
            self._wait()
            return
        self.blocks.take(crossing)
        self._decode(plan)
        self._notice()

    def _notice(self) -> None:
        """Who has left makes room for others from the next plan on."""
        if self._ended:
            self.full, self._ended = False, 0

    def _wait(self) -> None:
        """Those that decode do so a plan later."""
        for job in [job for job in self.running if job.last >= self.number]:
            self._pass_over(job)

    def _retract(self, plan: Plan) -> None:
        """Those with the fewest tokens give way, the longest prompts first, until the others have room for a while."""
        jobs = [job for job in self.running if job.last >= self.number]
        for job in jobs:
            self.decoding.settle(job, self.number)
        jobs.sort(key=lambda job: (-job.issued, job.prompt, job.order))
        while len(jobs) > 1:
            self._give_way(plan, jobs.pop())
            crossing = self.decoding.crossing(self.number)
            if self.blocks.free >= max(crossing, -(-AHEAD * len(jobs) // self.holding.size)):
                break
        ahead = sum(job.issued for job in jobs) + AHEAD * len(jobs)
        self._ratio, self._decays = min(1.0, ahead / sum(self.asked(job) for job in jobs)), 0
        self.full = False

    def _give_way(self, plan: Plan, job: Job) -> None:
        """One that decodes loses its blocks; those of its prompt can be found again, those of its answer are lost."""
        plan.preempted = True
        del self.running[job]
        self.decoding.leave(job)
        self.behind.pop(job, None)
        self.missed.append(job)
        job.lost += job.computed
        job.computed = min(job.computed, job.prompt)
        self.holding.release(job, found=True)
        job.computed = job.received = 0
        job.last = -1
        self.preemptions += 1
        job.preempted += 1
        self.waiting.append(job)
