"""The KV cache of one replica: blocks that are free or held, and prefixes that can be found again.

Blocks of equal content follow each other in chains, so they are kept as runs and not one by one: a `Prefix` is the run
of blocks that some tokens fill, known from its beginning on up to `valid`. Those that nobody holds lie in the
queue of free blocks, where they can be found again until they are needed: the queue is used from its head, and runs
come back to its tail with their last block first, so that the beginning of a prefix lives longest.

Where two requests compute equal blocks at the same time, only those of the first can be found again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence


class Run:
    """Free blocks that lie together in the queue: `low` + 1 to `high` of a prefix, or (None) of nothing known."""

    __slots__ = ("high", "low", "prefix")

    def __init__(self, prefix: Prefix | None, low: int, high: int) -> None:
        self.prefix, self.low, self.high = prefix, low, high


class Prefix:
    """Blocks filled by the same tokens after the same beginning."""

    __slots__ = ("free", "held", "holders", "key", "valid")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.valid = 0
        """Blocks that are there, from the first on."""
        self.held = 0
        """Of these, those that somebody holds."""
        self.holders: dict[int, int] = {}
        """By the number of blocks held: how many hold so many."""
        self.free: list[Run] = []
        """Those that nobody holds, as they lie in the queue: the last run is the one that begins at `held`."""


class Blocks:
    """All blocks of a replica."""

    __slots__ = ("again", "free", "prefixes", "queue", "total")

    def __init__(self, total: int) -> None:
        self.total = self.free = total
        self.again = 0
        """How often blocks are held by a further one, beside the first."""
        self.queue: deque[Run] = deque([Run(None, 0, total)])
        self.prefixes: dict[Hashable, Prefix] = {}
        """Those of which a block is there."""

    def prefix(self, key: Hashable) -> Prefix:
        """The run of that name, perhaps empty."""
        found = self.prefixes.get(key)
        if found is None:
            found = self.prefixes[key] = Prefix(key)
        return found

    def found(self, pieces: Sequence[tuple[Hashable, int]], most: int) -> list[tuple[Prefix, int]]:
        """The longest known beginning of a chain: of each of its runs, how many blocks.

        `pieces` names the runs with the block at which each ends; no more than `most` blocks are found.
        """
        found, begin = [], 0
        for key, end in pieces:
            prefix = self.prefixes.get(key)
            depth = 0 if prefix is None else min(prefix.valid, end - begin, most - begin)
            if prefix is None or depth <= 0:
                break
            found.append((prefix, depth))
            begin += depth
            if begin < end:
                break
        return found

    def take(self, count: int) -> None:
        """Takes so many free blocks from the head of the queue, and what was in them is gone. They must be there."""
        if not count:
            return
        self.free -= count
        queue = self.queue
        while count:
            run = queue[0]
            length, prefix = run.high - run.low, run.prefix
            taken = min(length, count)
            run.high -= taken
            count -= taken
            if length == taken:
                queue.popleft()
            if prefix is not None:
                prefix.valid = run.high
                if length == taken:
                    prefix.free.pop(0)
                    self._forget(prefix)

    def give(self, count: int) -> None:
        """Blocks that cannot be found again become free."""
        if not count:
            return
        self.free += count
        last = self.queue[-1] if self.queue else None
        if last is not None and last.prefix is None and last.high:
            last.high += count
        else:
            self.queue.append(Run(None, 0, count))

    def hold(self, prefix: Prefix, depth: int) -> None:
        """Somebody holds the first `depth` blocks of a prefix, which are there: those that were free are so no more."""
        while prefix.free and prefix.free[-1].low < depth:
            run = prefix.free[-1]
            if run.high <= depth:
                self.free -= run.high - run.low
                run.prefix, run.low, run.high = None, 0, 0
                prefix.free.pop()
            else:
                self.free -= depth - run.low
                run.low = depth
        prefix.holders[depth] = prefix.holders.get(depth, 0) + 1
        self.again += min(prefix.held, depth)
        prefix.held = max(prefix.held, depth)

    def grow(self, prefix: Prefix, before: int, depth: int) -> None:
        """Who holds the first `before` blocks of a prefix, all that are there, has filled further ones of its own."""
        self._let_go(prefix, before)
        prefix.holders[depth] = prefix.holders.get(depth, 0) + 1
        prefix.valid = prefix.held = depth

    def release(self, prefix: Prefix, depth: int) -> None:
        """Somebody who held the first `depth` blocks of a prefix does so no more; they can be found again."""
        self._let_go(prefix, depth)
        held = max(prefix.holders, default=0)
        self.again -= depth - (prefix.held - held)
        if held < prefix.held:
            run = Run(prefix, held, prefix.held)
            self.queue.append(run)
            prefix.free.append(run)
            self.free += prefix.held - held
            prefix.held = held
        self._forget(prefix)

    def _let_go(self, prefix: Prefix, depth: int) -> None:
        holders = prefix.holders
        if depth in holders:
            holders[depth] -= 1
            if not holders[depth]:
                del holders[depth]

    def _forget(self, prefix: Prefix) -> None:
        if not prefix.valid and not prefix.holders:
            self.prefixes.pop(prefix.key, None)
