"""Kubernetes Services under kube-proxy: connections are balanced, and requests stay on their connection.

The clients hold long-lived connections. A connection opens with the first request that takes it, and again when its
replica has gone or its time is over; only then is a replica chosen. So a new replica receives nothing until
connections are opened again, and shares of load that came out uneven stay uneven.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from simulator.dispatch.base import OPENED, PINNED, Balancer, Picker, View
from simulator.dispatch.session_affinity import Pins
from simulator.dispatch.tournament import Tournament
from simulator.quantities import Duration


class _Connections(Balancer):
    connections: int = Field(100, ge=1, le=1_000_000)
    """Long-lived connections of all clients together."""
    reuse: Literal["uniform", "lifo"] = "uniform"
    """Which connection a request takes: any, or the idle one used last (when none is idle, any: they are shared)."""
    reconnect_every: Duration = 0
    """A connection as old as this is opened again by its next request. 0: it stays for good."""

    def uniforms(self) -> int:
        """One for the connection, one for the replica that it opens to."""
        return 2


class KubeProxyIptables(_Connections):
    """kube-proxy with iptables: long-lived connections, each to a replica drawn uniformly when it opened."""

    kind: Literal["kube_proxy_iptables"] = "kube_proxy_iptables"

    def start(self, view: View) -> Picker:
        """Keeps the replica of every connection."""
        return _Iptables(view, self)


class KubeProxyIpvs(_Connections):
    """kube-proxy with IPVS: long-lived connections, opened in turn (rr) or to the least connected (lc).

    Each node keeps its own state, and connections belong to the nodes in turn. Closed connections, which lc counts
    for 1/256 for a while, are left out; ties go to the lowest slot.
    """

    kind: Literal["kube_proxy_ipvs"] = "kube_proxy_ipvs"
    scheduler: Literal["rr", "lc"] = "rr"
    """In turn (`rr`), or to the replica with the fewest connections (`lc`)."""
    nodes: int = Field(1, ge=1, le=1000)
    """From which the clients connect."""

    def start(self, view: View) -> Picker:
        """Keeps the replica of every connection, and turns or counts by node."""
        return _RoundRobin(view, self) if self.scheduler == "rr" else _LeastConnections(view, self)


class _Pinned(Picker):
    """Requests on connections that stay where they opened."""

    def __init__(self, view: View, choice: _Connections) -> None:
        super().__init__(view)
        self.count, self.lifetime = choice.connections, choice.reconnect_every
        self.lifo = choice.reuse == "lifo"
        self.pins = Pins()
        self.opened: dict[int, int] = {}
        """When each connection opened."""
        self.idle: list[int] = []
        """Idle connections, the one used last at the end."""
        self.taken_by: dict[int, int] = {}
        """Connections by request, where one has it alone."""
        self.known = 0
        """Connections that have been used."""
        self.regrouped()

    def regrouped(self) -> None:
        self.pins.regroup(self.view.ready)

    def pick(self, request: int) -> tuple[int, int]:
        which = self._take(request)
        slot = self.pins.find(which)
        now = self.view.now
        if slot is not None and not (self.lifetime and now - self.opened[which] >= self.lifetime):
            return slot, PINNED
        slot = self.open(which, slot, self.view.draws[1][request])
        self.pins.put(which, slot)
        self.opened[which] = now
        return slot, OPENED

    def _take(self, request: int) -> int:
        """The connection for a request."""
        if self.lifo:
            if self.idle:
                which = self.idle.pop()
            elif self.known < self.count:
                which = self.known
                self.known += 1
            else:
                return int(self.view.draws[0][request] * self.count)
            self.taken_by[request] = which
            return which
        return int(self.view.draws[0][request] * self.count)

    def left(self, slot: int, requests: list[int]) -> None:
        if self.lifo:
            for request in requests:
                which = self.taken_by.pop(request, None)
                if which is not None:
                    self.idle.append(which)

    def open(self, which: int, before: int | None, uniform: float) -> int:
        """The slot of a connection that opens; `before` is where it was, if that replica is still there."""
        raise NotImplementedError


class _Iptables(_Pinned):
    def open(self, which: int, before: int | None, uniform: float) -> int:
        ready = self.view.ready
        return ready[int(uniform * len(ready))]


class _RoundRobin(_Pinned):
    def __init__(self, view: View, choice: KubeProxyIpvs) -> None:
        self.turns = [0] * choice.nodes
        super().__init__(view, choice)

    def open(self, which: int, before: int | None, uniform: float) -> int:
        node, ready = which % len(self.turns), self.view.ready
        turn = self.turns[node] % len(ready)
        self.turns[node] = turn + 1
        return ready[turn]


class _LeastConnections(_Pinned):
    def __init__(self, view: View, choice: KubeProxyIpvs) -> None:
        self.counts: list[dict[int, int]] = [{} for _ in range(choice.nodes)]
        """Open connections to each ready slot, by node."""
        super().__init__(view, choice)

    def regrouped(self) -> None:
        super().regrouped()
        view = self.view
        self.counts = [{slot: counts.get(slot, 0) for slot in view.ready} for counts in self.counts]
        self.tournaments: list[Any] = [Tournament(len(view.outstanding), counts) for counts in self.counts]

    def open(self, which: int, before: int | None, uniform: float) -> int:
        node = which % len(self.counts)
        if before is not None:
            self._count(node, before, -1)
        slot: int = self.tournaments[node].first()
        self._count(node, slot, 1)
        return slot

    def _count(self, node: int, slot: int, change: int) -> None:
        counts = self.counts[node]
        counts[slot] += change
        self.tournaments[node].update(slot, counts[slot])
