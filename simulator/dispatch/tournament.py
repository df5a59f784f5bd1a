"""Who has the least: two ways to know without looking at all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from math import inf
from typing import Any

from simulator.dispatch.base import Picker


class Tournament:
    """A winner tree: the slot with the least key, the lowest slot on a tie; a change costs the logarithm of the slots.

    Node k holds the better slot of its children 2k and 2k + 1; the leaves are the slots. Keys are numbers or tuples.
    """

    __slots__ = ("away", "keys", "size", "tree")

    def __init__(self, slots: int, keys: Mapping[int, Any], away: Any = inf) -> None:
        self.size = size = 1 << max(1, (slots - 1).bit_length())
        self.away = away
        """The key of a slot that does not take part, above all others."""
        self.keys: list[Any] = [away] * size
        for slot, key in keys.items():
            self.keys[slot] = key
        self.tree = [0] * size + list(range(size))
        for node in range(size - 1, 0, -1):
            left, right = self.tree[2 * node], self.tree[2 * node + 1]
            self.tree[node] = right if self.keys[right] < self.keys[left] else left

    def first(self) -> int:
        """The slot with the least key."""
        return self.tree[1]

    def first_from(self, slot: int) -> int:
        """Of those with the least key the first at or after a slot, or else the first of all."""
        keys, tree = self.keys, self.tree
        least, node = keys[tree[1]], slot + self.size
        if keys[slot] == least:
            return slot
        while node > 1:
            if not node & 1 and keys[tree[node + 1]] == least:
                return tree[node + 1]
            node >>= 1
        return tree[1]

    def update(self, slot: int, key: Any) -> None:
        """Gives a slot another key; one that does not take part stays away."""
        keys, tree = self.keys, self.tree
        if keys[slot] == self.away:
            return
        keys[slot] = key
        node = (slot + self.size) >> 1
        while node:
            left, right = tree[2 * node], tree[2 * node + 1]
            winner = right if keys[right] < keys[left] else left
            if winner == tree[node] != slot:
                return  # another slot wins here as before: nothing changes further up
            tree[node] = winner
            node >>= 1


class Levels:
    """Slots by load, so that one of the least loaded can be drawn; a change by one costs the same at any size."""

    __slots__ = ("least", "load", "members", "place")

    def __init__(self, load: dict[int, int]) -> None:
        self.load = load
        self.members: defaultdict[int, list[int]] = defaultdict(list)
        self.place: dict[int, int] = {}
        for slot, found in load.items():
            self._enter(slot, found)
        self.least = min(load.values(), default=0)

    def draw(self, uniform: float) -> int:
        """One of the least loaded, each equally likely."""
        tied = self.members[self.least]
        return tied[int(uniform * len(tied))]

    def update(self, slot: int, load: int) -> None:
        """Gives a slot another load; one that does not take part stays away."""
        before = self.load.get(slot)
        if before is None or before == load:
            return
        members = self.members[before]
        last = members.pop()
        if last != slot:
            members[self.place[slot]] = last
            self.place[last] = self.place[slot]
        self.load[slot] = load
        self._enter(slot, load)
        self.least = min(self.least, load)
        while not self.members[self.least]:
            self.least += 1

    def _enter(self, slot: int, load: int) -> None:
        self.place[slot] = len(self.members[load])
        self.members[load].append(slot)


class LeastKey(Picker):
    """Picks the ready slot with the least key, the lowest slot on a tie."""

    reason: int
    away: Any = inf
    tournament: Tournament

    def key(self, slot: int) -> Any:
        """What is compared."""
        return self.view.outstanding[slot]

    def regrouped(self) -> None:
        """Compares all anew."""
        view = self.view
        keys = {slot: self.key(slot) for slot in view.ready}
        self.tournament = Tournament(len(view.outstanding), keys, self.away)

    def changed(self, slot: int) -> None:
        """Compares the slot anew."""
        self.tournament.update(slot, self.key(slot))

    def pick(self, request: int) -> tuple[int, int]:
        """The least, known already."""
        return self.tournament.tree[1], self.reason


class LeastDrawn(Picker):
    """Draws one of the ready slots with the least load, each equally likely."""

    reason: int
    levels: Levels

    def load(self, slot: int) -> int:
        """What is compared."""
        return self.view.outstanding[slot]

    def regrouped(self) -> None:
        """Compares all anew."""
        self.levels = Levels({slot: self.load(slot) for slot in self.view.ready})

    def changed(self, slot: int) -> None:
        """Compares the slot anew."""
        self.levels.update(slot, self.load(slot))

    def pick(self, request: int) -> tuple[int, int]:
        """The least, known already."""
        return self.levels.draw(self.view.draws[0][request]), self.reason
