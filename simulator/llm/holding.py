"""Which blocks of the KV cache a request holds, finds and leaves behind."""

from __future__ import annotations

from simulator.llm.blocks import Blocks, Prefix
from simulator.llm.job import Job


class Holding:
    """The blocks of one engine, as its requests use them."""

    def __init__(self, total: int, block_size: int, caching: bool) -> None:
        self.blocks, self.size, self.caching = Blocks(total), block_size, caching

    def needed(self, tokens: int) -> int:
        """Blocks for so many tokens."""
        return -(-tokens // self.size)

    def found(self, job: Job) -> list[tuple[Prefix, int]]:
        """What is there of a request's blocks; its last token is computed in any case."""
        if not self.caching or not (job.pieces or job.preempted or job.keeps):
            return []
        known = job.prompt + job.issued
        return self.blocks.found((*job.before, (job.own, known)), (known - 1) // self.size)

    def there(self, job: Job, found: list[tuple[Prefix, int]]) -> int:
        """Tokens that need not be computed of one that waits: they were found, or sent."""
        hits = sum([depth for _, depth in found]) * self.size
        return max(hits, job.received)

    def has_room(self, job: Job) -> bool:
        """Whether there are blocks for all that is known of a request, whatever becomes of those that are free."""
        held = sum(min(depth, prefix.held) for prefix, depth in self.found(job))
        return self.needed(job.prompt + job.issued) - held <= self.blocks.free

    def admit(self, job: Job, found: list[tuple[Prefix, int]], count: int) -> None:
        """A request takes what was found of it, and blocks for `count` tokens more."""
        hits = 0
        for prefix, depth in found:
            self.blocks.hold(prefix, depth)
            hits += depth
        job.shared, job.computed, job.copies = found, max(hits * self.size, job.received), False
        job.hits += hits * self.size
        job.blocks = self.needed(job.computed + count)
        self.blocks.take(job.blocks - hits)

    def share(self, job: Job) -> None:
        """Blocks of a prompt that are computed or about to be can be found by others from now on."""
        begin, full = 0, job.computed // self.size
        for place, (key, end) in enumerate(job.pieces):
            depth = min(full, end) - begin
            if depth <= 0 or job.copies or not self.caching:
                return
            known = place < len(job.shared)
            prefix, before = job.shared[place] if known else (self.blocks.prefix(key), 0)
            if depth > before:
                if prefix.valid != before:  # somebody else computes the same, and was first
                    job.copies = True
                    return
                self.blocks.grow(prefix, before, depth)
                job.shared[place : place + 1] = [(prefix, depth)]
            if full < end:
                return
            begin = end

    def release(self, job: Job, found: bool) -> None:
        """Gives the blocks of a request back; its own can be found again where somebody will look for them."""
        begin, full = job.before[-1][1] if job.before else 0, job.computed // self.size
        own = job.blocks - sum([depth for _, depth in job.shared])
        if found and full > begin and self.caching:
            prefix, before = self.blocks.prefix(job.own), 0
            if job.shared and job.shared[-1][0] is prefix:
                before = job.shared.pop()[1]
            self.blocks.give(job.blocks - full)
            own -= job.blocks - full
            if prefix.valid == before:
                self.blocks.grow(prefix, before, full - begin)
                own -= full - begin - before
                before = full - begin
            self.blocks.release(prefix, before)
        self.blocks.give(own)
        for prefix, before in reversed(job.shared):
            self.blocks.release(prefix, before)
        job.shared, job.blocks = [], 0
