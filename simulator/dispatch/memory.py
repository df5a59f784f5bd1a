"""What a balancer remembers of the prompts that it has sent: it never sees the caches themselves."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Hashable

from simulator.dispatch.base import Chain


class Memory:
    """By slot: the runs of blocks of prompts that went there, at most so many blocks, those not used for longest go."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._where: defaultdict[Hashable, dict[int, int]] = defaultdict(dict)
        """By name of the tokens: the blocks from their beginning on, by slot."""
        self._runs: defaultdict[int, OrderedDict[Hashable, None]] = defaultdict(OrderedDict)
        """By slot: the names, those used last at the end."""
        self._blocks: defaultdict[int, int] = defaultdict(int)
        self._ready: set[int] = set()

    def found(self, chain: Chain) -> dict[int, int]:
        """Blocks of a prompt from its beginning on, by slot, where there are any. Costs a look for each slot found."""
        found: dict[int, int] = {}
        whole: list[int] | None = None
        begin = 0
        for name, end in chain:
            here, going = self._where.get(name, {}), []
            for slot in here if whole is None else whole:
                if blocks := min(here.get(slot, 0), end - begin):
                    found[slot] = begin + blocks
                    if blocks == end - begin:
                        going.append(slot)
            whole, begin = going, end
            if not whole:
                break
        return found

    def add(self, chain: Chain, slot: int) -> None:
        """A prompt was sent to a slot."""
        runs, begin = self._runs[slot], 0
        for name, end in chain:
            here = self._where[name]
            more = max(end - begin - here.get(slot, 0), 0)
            here[slot] = here.get(slot, 0) + more
            self._blocks[slot] += more
            runs[name] = None
            runs.move_to_end(name)
            begin = end
        while self._blocks[slot] > self.capacity:
            self._drop(slot, next(iter(runs)))

    def regroup(self, ready: list[int]) -> None:
        """Other slots are ready: whoever is gone has lost its cache."""
        now = set(ready)
        for slot in self._ready - now:
            for name in list(self._runs.get(slot, ())):
                self._drop(slot, name)
        self._ready = now

    def _drop(self, slot: int, name: Hashable) -> None:
        del self._runs[slot][name]
        here = self._where[name]
        self._blocks[slot] -= here.pop(slot)
        if not here:
            del self._where[name]
