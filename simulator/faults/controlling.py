"""Faults of the control plane: the autoscaler forgets, or cannot see."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from simulator.faults.base import Fault, Process, Site
from simulator.quantities import Duration, PositiveDuration


class ControllerRestart(Fault):
    """At a given moment the autoscaler restarts, and forgets what it keeps in memory, such as its windows."""

    kind: Literal["controller_restart"] = "controller_restart"
    at: Duration
    """From the beginning of the run; a decision at the same moment comes after."""

    def whole(self, site: Site) -> Process:
        """Waits for its moment."""
        yield site.wait(self.at)
        site.control.restart()


class MetricsOutage(Fault):
    """For a time metrics of the autoscaler cannot be read, and what was known of them is lost."""

    kind: Literal["metrics_outage"] = "metrics_outage"
    at: Duration
    """From the beginning of the run; a reading at the same moment fails."""
    lasts: PositiveDuration
    """From then until metrics can be read again; a reading at the end succeeds."""
    metrics: Annotated[tuple[str, ...], Field(strict=False, min_length=1, max_length=64)] | None = None
    """Their names, as the autoscaler has them; all unless given."""

    def whole(self, site: Site) -> Process:
        """Waits for its moment."""
        yield site.wait(self.at)
        site.control.silence(self.metrics, site.now + self.lasts)
