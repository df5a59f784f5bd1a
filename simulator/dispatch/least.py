"""Balancers that know the least loaded replica of all."""

from __future__ import annotations

from typing import Literal

from simulator.dispatch.base import SHORTEST, Balancer, Picker, View

_AWAY = 1 << 62  # the load of a slot that takes no requests


class LeastOutstanding(Balancer):
    """The replica with the fewest requests waiting or in service; the lowest slot on a tie."""

    kind: Literal["least_outstanding"] = "least_outstanding"

    def start(self, view: View) -> Picker:
        """Keeps a tournament over the slots, so that a pick costs no scan."""
        return _LeastOutstanding(view)


class _LeastOutstanding(Picker):
    """A winner tree: node k holds the better slot of its children 2k and 2k + 1, leaves are the slots."""

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.regrouped()

    def regrouped(self) -> None:
        view = self.view
        self.size = size = 1 << max(1, (len(view.outstanding) - 1).bit_length())
        self.load = [_AWAY] * size
        for slot in view.ready:
            self.load[slot] = view.outstanding[slot]
        self.tree = [0] * size + list(range(size))
        for node in range(size - 1, 0, -1):
            self._play(node)

    def _play(self, node: int) -> None:
        tree, load = self.tree, self.load
        left, right = tree[2 * node], tree[2 * node + 1]
        tree[node] = right if load[right] < load[left] else left

    def changed(self, slot: int) -> None:
        load, tree = self.load, self.tree
        if load[slot] == _AWAY:
            return
        load[slot] = self.view.outstanding[slot]
        node = (slot + self.size) >> 1
        while node:
            left, right = tree[2 * node], tree[2 * node + 1]
            tree[node] = right if load[right] < load[left] else left
            node >>= 1

    def pick(self, request: int) -> tuple[int, int]:
        return self.tree[1], SHORTEST
