"""How a real server is set up: what its own configuration says, and what the simulator is told of it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from simulator.component import Record
from simulator.dispatch import Balancer, HaproxyLeastconn, HaproxyRandom, HaproxyRoundRobin, RoundRobin
from simulator.quantities import Duration, format_duration

SERVERS = ("mosec", "triton")
BALANCERS: dict[str, Balancer] = {
    "haproxy-roundrobin": HaproxyRoundRobin(),
    "haproxy-leastconn": HaproxyLeastconn(),
    "haproxy-random": HaproxyRandom(),
}


class Setup(Record):
    """A server, and HAProxy before it where there is more than one."""

    server: Literal["mosec", "triton"] = "mosec"
    max_batch: int = Field(8, ge=1, le=256)
    max_delay: Duration = 5_000_000
    """How long it waits for more, by its own rule."""
    replicas: int = Field(1, ge=1, le=16)
    balancer: Literal["haproxy-roundrobin", "haproxy-leastconn", "haproxy-random"] | None = None
    """None where there is one replica."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max_delay % 1_000_000 and self.server == "mosec":
            raise ValueError("mosec keeps max_delay in whole milliseconds")
        if (self.balancer is None) != (self.replicas == 1):
            raise ValueError("a balancer and more than one replica come together")
        return self

    @property
    def label(self) -> str:
        """Such as `mosec, 2 x (8, 5ms), haproxy-leastconn`."""
        times = f"{self.replicas} x " if self.replicas > 1 else ""
        behind = f", {self.balancer}" if self.balancer else ""
        return f"{self.server}, {times}({self.max_batch}, {format_duration(self.max_delay)}){behind}"

    def dispatch(self) -> Balancer:
        """The balancer as the simulator has it."""
        return BALANCERS[self.balancer] if self.balancer else RoundRobin()
