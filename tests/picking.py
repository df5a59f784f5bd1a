"""A balancer at work on a view that the test drives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simulator.component import Component
from simulator.dispatch import REASONS, Balancer, Chain, View


def balancer(kind: str, **fields: Any) -> Balancer:
    """A balancer as a scenario writes it."""
    made = Component.families["balancer"].choices[kind].model_validate(fields)
    assert isinstance(made, Balancer)
    return made


def prompt_of(request: int) -> tuple[Chain, int]:
    """Two of three begin with one of two beginnings, and go on with what was said in one of five sessions."""
    if not request % 3:
        return (), 1 + request % 4
    blocks = 3 + request % 6
    return ((("beginning", request % 2), 2), (("session", request % 5), blocks)), blocks


class Pool:
    """Replicas by slot, and the requests that a balancer has sent to them; one is in service, the others wait."""

    def __init__(self, choice: Balancer, replicas: int, draws: Sequence[Sequence[float]] = (), zones: int = 1) -> None:
        self.columns = [list(column) for column in draws] or [[0.0] * 10_000] * choice.uniforms()
        assert len(self.columns) == choice.uniforms()
        self.view = View(self.columns, list(range(replicas)), [0] * replicas, zones=zones)
        self.view.zone = lambda slot: slot % zones
        self.view.waiting = lambda slot: max(0, self.view.outstanding[slot] - 1)
        self.view.tokens = lambda request: (1 + 7 * request % 10, 1 + 3 * request % 10)
        self.view.usual_answer = lambda: 5
        self.view.prompt = prompt_of
        self.view.cache = lambda slot: (self.view.outstanding[slot] % 4) / 4
        self.view.cache_blocks = 24
        self.at: dict[int, int] = {}
        """Slots by request under way."""
        self.sent = 0
        self.picker = choice.start(self.view)
        self.why = ""

    def send(self, count: int = 1) -> list[int]:
        """Sends the next requests; where they went."""
        return [self._send() for _ in range(count)]

    def _send(self) -> int:
        request, self.sent = self.sent, self.sent + 1
        slot, reason = self.picker.pick(request)
        assert slot in self.view.ready
        self.at[request], self.why = slot, REASONS[reason]
        self.view.outstanding[slot] += 1
        self.picker.changed(slot)
        return slot

    def finish(self, *requests: int) -> None:
        """Requests, by number, have been served."""
        for request in requests:
            slot = self.at.pop(request)
            self.view.outstanding[slot] -= 1
            self.picker.left(slot, [request])
            self.picker.changed(slot)

    def go(self, slot: int) -> None:
        """A replica takes no more requests."""
        self.view.ready.remove(slot)
        self.picker.regrouped()

    def come(self, slot: int) -> None:
        """A replica is ready, in a slot used before or in the next one."""
        if slot == len(self.view.outstanding):
            self.view.outstanding.append(0)
        self.view.ready[:] = sorted([*self.view.ready, slot])
        self.picker.regrouped()
