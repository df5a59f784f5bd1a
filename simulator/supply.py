"""Where machines come from: what several pools can have together, when there are none, how long empty ones stay."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from pydantic import Field, model_validator

from simulator.component import Record
from simulator.errors import suggestion
from simulator.model import Name
from simulator.quantities import SECOND, Duration, PositiveDuration


class StockOut(Record):
    """A time in which no machine can be launched; those that run stay."""

    zone: Name | None = None
    """Where; in all zones unless given."""
    instance: Name | None = None
    """Of which instance type; of all unless given."""
    at: Duration | None = None
    """When it begins, from the beginning of the run."""
    every: PositiveDuration | None = None
    """Instead, at random: the mean time from the end of one to the next (exponentially distributed)."""
    lasts: PositiveDuration
    """How long; the mean of it where they come at random (exponentially distributed)."""

    @model_validator(mode="after")
    def _check(self) -> StockOut:
        if (self.at is None) == (self.every is None):
            raise ValueError("give at for one at a given moment, or every for some at random")
        return self


class ClusterAutoscaler(Record):
    """Who launches and stops machines looks only now and then; the defaults are the Cluster Autoscaler's.

    They are general knowledge of it, not checked against its source.
    """

    scan: PositiveDuration = 10 * SECOND
    """From one look to the next: machines are launched and given back only then."""
    give_up: PositiveDuration = 900 * SECOND
    """A machine that has not started by then is given back, and another one asked for (max-node-provision-time)."""
    unneeded: Duration = 600 * SECOND
    """How long a machine is empty before it is given back (scale-down-unneeded-time)."""

    def next_scan(self, now: int) -> int:
        """The first look from a time on."""
        return -(-now // self.scan) * self.scan


class Supply(Record):
    """Machines that several pools share, by their names: who is first gets them."""

    quota: int | None = Field(None, ge=1, le=100_000)
    """The most machines that its pools can have at a time, all together."""
    stock_outs: Annotated[tuple[StockOut, ...], Field(strict=False, max_length=16)] = ()
    """When there are none to be had."""
    cluster_autoscaler: ClusterAutoscaler | None = None
    """How long machines take to be asked for and given back; no time unless stated, `{}` for the usual."""
    spare: int = Field(0, ge=0, le=1000)
    """Empty machines that each of its pools has standing by, and pays for, as far as the quota allows."""

    def stray(self, zones: Collection[str], instances: Collection[str]) -> str | None:
        """Where its stock-outs speak of what its pools have not, given the zones and the types that they have."""
        for number, one in enumerate(self.stock_outs):
            for field, value, known in (("zone", one.zone, zones), ("instance", one.instance, instances)):
                if value is not None and value not in known:
                    return f"stock_outs.{number}.{field}: its pools have no {value!r}; {suggestion(value, known)}"
        return None


class Fallback(Record):
    """Another zone or type of machine to try, where the pool's own zones have none of its type."""

    zone: Name | None = None
    """Another zone; the pool's own unless given."""
    instance: Name | None = None
    """Another instance type, whose price is paid; the pool's own unless given."""
    speed: Annotated[float, Field(ge=0.01, le=1000)] | None = None
    """How fast replicas work on that type, against the pool's own."""
    after: Duration = 0
    """How long replicas wait for a machine before it is tried."""

    @model_validator(mode="after")
    def _check(self) -> Fallback:
        if self.zone is None and self.instance is None:
            raise ValueError("name a zone or an instance type to try next")
        if (self.instance is None) != (self.speed is None):
            raise ValueError("instance and speed come together: how fast replicas work on that type, such as 0.7")
        return self
