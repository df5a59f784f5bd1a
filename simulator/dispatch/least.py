"""Balancers that know the least loaded replica of all."""

from __future__ import annotations

from typing import Any, Literal

from simulator.dispatch.base import FEWEST_WAITING, LEAST_WORK, SHORTEST, Balancer, LoadAware, Picker, View
from simulator.dispatch.tournament import LeastDrawn, LeastKey


class LeastOutstanding(LoadAware):
    """The replica with the fewest requests waiting or in service; the lowest slot on a tie."""

    kind: Literal["least_outstanding"] = "least_outstanding"

    def start(self, view: View) -> Picker:
        """Keeps a tournament over the slots, so that a pick costs no scan."""
        return _LeastOutstanding(view)


class _LeastOutstanding(LeastKey):
    reason = SHORTEST

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.regrouped()


class JoinShortestQueue(LoadAware):
    """The replica with the fewest requests waiting, whatever it has in service; see `ties`.

    Replicas without a queue tie whether they are idle or not, so the tie rule decides much at moderate load.
    """

    kind: Literal["join_shortest_queue"] = "join_shortest_queue"
    ties: Literal["fewest_outstanding", "lowest_slot", "random"] = "fewest_outstanding"
    """Who goes first among equals: the one with fewer in service (then the lowest slot), the lowest slot, or any."""

    def uniforms(self) -> int:
        """One where ties are drawn."""
        return 1 if self.ties == "random" else 0

    def start(self, view: View) -> Picker:
        """Keeps a tournament over the slots, or lists of slots by load where ties are drawn."""
        if self.ties == "random":
            return _FewestWaitingDrawn(view)
        return _FewestWaiting(view, self.ties == "fewest_outstanding")


class _FewestWaiting(LeastKey):
    reason = FEWEST_WAITING
    away = (float("inf"), 0)

    def __init__(self, view: View, by_outstanding: bool) -> None:
        super().__init__(view)
        self.by_outstanding = by_outstanding
        self.regrouped()

    def key(self, slot: int) -> Any:
        view = self.view
        return view.waiting(slot), view.outstanding[slot] if self.by_outstanding else 0

    def taken(self, slot: int, requests: list[int], end: int) -> None:
        self.changed(slot)


class _FewestWaitingDrawn(LeastDrawn):
    reason = FEWEST_WAITING

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.regrouped()

    def load(self, slot: int) -> int:
        return self.view.waiting(slot)

    def taken(self, slot: int, requests: list[int], end: int) -> None:
        self.changed(slot)


class LeastWorkLeft(Balancer):
    """The replica that would be done first with all it has, if the work of every request were known.

    A bound, not a product: work left is the rest of the batch in service plus what each waiting request would take
    alone, and no real balancer knows it. Without batching it serves every request when one central queue would, if
    nobody gives up (Kiefer and Wolfowitz 1955). On a tie the replica that has been idle longest, then the lowest slot.
    """

    kind: Literal["least_work_left"] = "least_work_left"

    def start(self, view: View) -> Picker:
        """Keeps a tournament over the times at which the slots would be done."""
        return _LeastWorkLeft(view)


class _LeastWorkLeft(LeastKey):
    reason = LEAST_WORK

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.ends: dict[int, int] = {}
        """When the batch in service ends, by slot; where none is, when the last ended or the queue began."""
        self.queued: dict[int, int] = {}
        """Work of those waiting, by slot."""
        self.works: dict[int, int] = {}
        """Work of those waiting, by request."""
        self.regrouped()

    def regrouped(self) -> None:
        # Those that came or went begin anew: one that died never ends what it had.
        self.ends = {slot: self.ends[slot] for slot in self.view.ready if slot in self.ends}
        super().regrouped()

    def key(self, slot: int) -> int:
        return self.ends.get(slot, 0) + self.queued.get(slot, 0)

    def pick(self, request: int) -> tuple[int, int]:
        view = self.view
        slot = self.tournament.first()
        if not view.outstanding[slot]:
            self.ends[slot] = view.now
        self.works[request] = work = view.work(request)
        self.queued[slot] = self.queued.get(slot, 0) + work
        return slot, self.reason

    def taken(self, slot: int, requests: list[int], end: int) -> None:
        self.ends[slot] = end
        self._unqueue(slot, requests)

    def left(self, slot: int, requests: list[int]) -> None:
        self._unqueue(slot, requests)

    def _unqueue(self, slot: int, requests: list[int]) -> None:
        self.queued[slot] -= sum(self.works.pop(request, 0) for request in requests)
        self.changed(slot)
