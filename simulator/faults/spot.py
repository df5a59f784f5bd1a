"""Machines that are only lent: they can be taken back at short notice."""

from __future__ import annotations

from math import floor, log
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator

from simulator.faults.base import Fault, Process, Site
from simulator.quantities import SECOND, Duration, PositiveDuration, Rate, Share
from simulator.run.machines import machines_for

if TYPE_CHECKING:
    from simulator.parts import CasePool
    from simulator.run.machines import Machine


def _some(share: float) -> float:
    if share < 0.01:
        raise ValueError("must be at least 1%, so that a machine is to be had in the end")
    return share


class SpotPreemption(Fault):
    """Each machine is taken back at random, after a notice in which its replicas drain; others are launched."""

    kind: Literal["spot_preemption"] = "spot_preemption"
    rate: Rate
    """How often a machine that can serve is taken, such as 0.05/h."""
    notice: Duration = 120 * SECOND
    """From the notice, when the replicas begin to drain, until the machine is gone with what is left on it."""
    available: Annotated[Share, AfterValidator(_some)] = 1.0
    """Chance that replacements are to be had when they are asked for, at the notice and after each `retry`."""
    retry: PositiveDuration = 60 * SECOND
    """How long after a refusal replacements are asked for again."""

    def rhythm(self, pool: CasePool) -> tuple[float, float]:
        """A loss lasts until the replacements are ready."""
        machines = max(machines_for(pool, pool.replicas), 1)
        refused = (1 / self.available - 1) * self.retry
        return SECOND / self.rate / machines, refused + pool.starting()

    def of_machine(self, site: Site, machine: Machine) -> Process:
        """Waits for the notice and for its end, unless the machine stops before."""
        number, record = machine.record.number, machine.record
        yield site.wait(site.until_useful(machine) + site.life(SECOND / self.rate, "machine", number))
        if record.stopped is not None:
            return
        refused = 0
        if self.available < 1:
            refused = floor(log(1 - site.uniform("market", number)) / log(1 - self.available))
        site.fleet.clear(machine, refused * self.retry, site.now)
        yield site.wait(self.notice)
        if record.stopped is None:
            site.fleet.lose(machine, 0, site.now)
