"""One queue for all replicas."""

from __future__ import annotations

from typing import ClassVar, Literal

from simulator.dispatch.base import Balancer, Picker, View


class CentralQueue(Balancer):
    """One queue for the pool: a free replica takes the oldest; the lowest free slot first."""

    kind: Literal["central_queue"] = "central_queue"
    shared_queue: ClassVar[bool] = True

    def start(self, view: View) -> Picker:
        """Nothing is picked: the replicas take."""
        return Picker(view)
