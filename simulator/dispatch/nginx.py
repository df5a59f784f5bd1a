"""The balancers of nginx.

Without a shared `zone` every worker process keeps turns and counts of its own, and a request comes to any of them
with the same probability. With a shared zone there is one state: `worker_processes: 1`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from simulator.dispatch.base import DRAWN, LAST_TIED, NEXT, SHORTER, Balancer, Picker, View, Weights
from simulator.dispatch.drawn import ByWeight
from simulator.dispatch.smooth import SmoothLeast, SmoothTurns


class _Nginx(Balancer):
    weights: Weights = (1,)
    worker_processes: int = Field(1, ge=1, le=256)
    """Processes of nginx, each with its own state; 1 also stands for any number with a shared zone."""

    def uniforms(self) -> int:
        """One for the process, where there are several."""
        return 1 if self.worker_processes > 1 else 0


class NginxRoundRobin(_Nginx):
    """nginx round robin: smooth weighted turns in each worker process."""

    kind: Literal["nginx_round_robin"] = "nginx_round_robin"

    def start(self, view: View) -> Picker:
        """Every process starts with the lowest slot of the largest weight."""
        return SmoothTurns(view, self.weights, self.worker_processes)


class NginxLeastConn(_Nginx):
    """nginx least_conn: fewest connections per weight in the worker process; ties in smooth weighted turns."""

    kind: Literal["nginx_least_conn"] = "nginx_least_conn"

    def start(self, view: View) -> Picker:
        """Only the tied take part in a turn."""
        return SmoothLeast(view, self.weights, self.worker_processes)


class NginxRandomTwo(_Nginx):
    """nginx random two least_conn: of two different replicas drawn by weight, the less connected; the second on a tie.

    nginx draws again when the second is the first, and takes the next in turn after 20 tries in vain. Here one number
    decides whether that happens, with its exact probability, and who is drawn otherwise.
    """

    kind: Literal["nginx_random_two"] = "nginx_random_two"

    def uniforms(self) -> int:
        """Two for the replicas, one for the process where there are several."""
        return 2 + super().uniforms()

    def start(self, view: View) -> Picker:
        """Every process counts what it has sent."""
        return _RandomTwo(view, self.weights, self.worker_processes)


class _RandomTwo(SmoothTurns):
    def __init__(self, view: View, weights: tuple[int, ...], processes: int) -> None:
        self.weights = weights
        super().__init__(view, weights, processes)
        self.counts: list[dict[int, int]] = [{} for _ in range(processes)]

    def regrouped(self) -> None:
        super().regrouped()
        self.by_weight = ByWeight(self.view.ready, self.weights)

    def pick(self, request: int) -> tuple[int, int]:
        slot, why = self._choose(request)
        counts = self._counts(request)
        counts[slot] = counts.get(slot, 0) + 1
        return slot, why

    def left(self, slot: int, requests: list[int]) -> None:
        for request in requests:
            self._counts(request)[slot] -= 1

    def _counts(self, request: int) -> dict[int, int]:
        count = len(self.counts)
        return self.counts[int(self.view.draws[-1][request] * count)] if count > 1 else self.counts[0]

    def _choose(self, request: int) -> tuple[int, int]:
        by_weight, draws, weights = self.by_weight, self.view.draws, self.weights
        ready = by_weight.ready
        if len(ready) == 1:
            return ready[0], DRAWN
        one = by_weight.place(draws[0][request])
        twice = by_weight.share(one)
        vain = twice * twice * twice * twice
        vain *= vain * vain * vain * vain
        uniform = draws[1][request]
        if uniform < vain:
            return self.process(request).pick()[0], NEXT
        first, second = ready[one], ready[by_weight.place((uniform - vain) / (1 - vain), one)]
        counts = self._counts(request)
        mine = counts.get(first, 0) * weights[second % len(weights)]
        other = counts.get(second, 0) * weights[first % len(weights)]
        if other > mine:
            return first, SHORTER
        return second, SHORTER if other < mine else LAST_TIED
