"""The balancers of HAProxy, by the rules of its version 2.6.

What HAProxy counts is what it has sent itself, so nothing is ever scraped. Servers have the numbers 1, 2, ... in the
order of the slots, and no `maxconn`.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, Literal

import numpy as np
from pydantic import Field

from simulator.dispatch.base import LAST_TIED, NEXT, SHORTER, SHORTEST, Balancer, Picker, View, Weights
from simulator.dispatch.ring import Ring
from simulator.dispatch.tournament import LeastKey

_CIRCLE = 2**32
_POINTS = 16  # of a server on the ring, for each unit of its weight
_NUMBERS = 4096  # each server's points are numbered from its own number times this
_SCALE = 256


class HaproxyRoundRobin(Balancer):
    """HAProxy roundrobin with equal weights: strict rotation in a fixed order."""

    kind: Literal["haproxy_roundrobin"] = "haproxy_roundrobin"

    def start(self, view: View) -> Picker:
        """Starts with the lowest slot."""
        return _Rotation(view)


class _Rotation(Picker):
    """Goes on behind the last server, also after others came or went."""

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.last = -1
        self.regrouped()

    def regrouped(self) -> None:
        self.turn = bisect_right(self.view.ready, self.last)

    def pick(self, request: int) -> tuple[int, int]:
        ready = self.view.ready
        if self.turn >= len(ready):
            self.turn = 0
        self.last = ready[self.turn]
        self.turn += 1
        return self.last, NEXT


class HaproxyLeastconn(Balancer):
    """HAProxy leastconn: fewest requests per weight; among equals the one whose count has not changed for longest."""

    kind: Literal["haproxy_leastconn"] = "haproxy_leastconn"
    weights: Weights = (1,)

    def start(self, view: View) -> Picker:
        """Keeps a tournament over the slots; whoever's count changes is put behind its equals."""
        return _Leastconn(view, self.weights)


class _Leastconn(LeastKey):
    reason = SHORTEST
    away = (float("inf"), 0)

    def __init__(self, view: View, weights: tuple[int, ...]) -> None:
        super().__init__(view)
        self.weights = weights
        self.stamps: dict[int, int] = {}
        """When each ready slot was put into its place."""
        self.clock = 0
        self.regrouped()

    def regrouped(self) -> None:
        self.stamps = {slot: self.stamps[slot] for slot in self.view.ready if slot in self.stamps}
        for slot in self.view.ready:
            if slot not in self.stamps:
                self._stamp(slot)
        super().regrouped()

    def key(self, slot: int) -> Any:
        count = self.view.outstanding[slot]
        weight = self.weights[slot % len(self.weights)]
        return ((count + 1) * _SCALE // weight if count else 0), self.stamps[slot]

    def changed(self, slot: int) -> None:
        if slot in self.stamps:
            self._stamp(slot)
            self.tournament.update(slot, self.key(slot))

    def _stamp(self, slot: int) -> None:
        self.clock += 1
        self.stamps[slot] = self.clock


class HaproxyRandom(Balancer):
    """HAProxy random(draws): draws on its hash ring, biased by server number; fewest per weight, the last on a tie.

    A server has 16 points on the ring for each unit of its weight, and a draw goes to the nearest point: with few
    points the servers' shares differ much, and always in the same way. The same server may be drawn twice.
    """

    kind: Literal["haproxy_random"] = "haproxy_random"
    draws: int = Field(2, ge=1, le=64)
    """How many are drawn."""
    weights: Weights = (1,)

    def uniforms(self) -> int:
        """One for each draw."""
        return self.draws

    def start(self, view: View) -> Picker:
        """Keeps the ring."""
        return _HaproxyRandom(view, self.weights)


def full_hash(numbers: np.ndarray) -> np.ndarray:
    """HAProxy's hash of 32-bit numbers: Jenkins's full avalanche of 6 shifts, times a prime of about 3/4 x 2^32."""
    a = numbers.astype(np.uint32)
    a = a + np.uint32(0x7ED55D16) + (a << np.uint32(12))
    a = a ^ np.uint32(0xC761C23C) ^ (a >> np.uint32(19))
    a = a + np.uint32(0x165667B1) + (a << np.uint32(5))
    a = (a + np.uint32(0xD3A2646C)) ^ (a << np.uint32(9))
    a = a + np.uint32(0xFD7046C5) + (a << np.uint32(3))
    a = a ^ np.uint32(0xB55A4F09) ^ (a >> np.uint32(16))
    return a * np.uint32(3221225473)


def haproxy_ring(slots: list[int], weights: tuple[int, ...]) -> Ring:
    """The ring of servers at these slots."""
    counts = [_POINTS * weights[slot % len(weights)] for slot in slots]
    owners = np.repeat(np.array(slots, dtype=np.int64), counts)
    point = np.concatenate([np.arange(count) for count in counts])
    hashes = full_hash((owners + 1) * _NUMBERS + point).astype(np.uint64)
    return Ring(hashes, owners, _CIRCLE, nearest=True)


class _HaproxyRandom(Picker):
    def __init__(self, view: View, weights: tuple[int, ...]) -> None:
        super().__init__(view)
        self.weights = weights
        self.regrouped()

    def regrouped(self) -> None:
        if self.view.ready:
            self.ring = haproxy_ring(self.view.ready, self.weights)

    def pick(self, request: int) -> tuple[int, int]:
        ring, view, weights = self.ring, self.view, self.weights
        slot, why = -1, SHORTER
        for draw in view.draws:
            other = ring.owners[ring.arc(int(draw[request] * _CIRCLE))]
            if slot >= 0 and other != slot:
                ahead = view.outstanding[other] * weights[slot % len(weights)]
                ahead -= view.outstanding[slot] * weights[other % len(weights)]
                if ahead > 0:
                    why = SHORTER
                    continue
                why = SHORTER if ahead else LAST_TIED
            slot = other
        return slot, why
