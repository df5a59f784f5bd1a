"""Scale per request, as platforms for functions do it (AWS Lambda; `simulator.run.per_request` is the pool at work)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from simulator.autoscaling.base import Autoscaler, Decision, Observation
from simulator.quantities import SECOND, Duration


class PerRequest(Autoscaler):
    """A replica serves one request: the idle one used last, or else a new one; it stops when idle for long."""

    kind: Literal["per_request"] = "per_request"
    max_replicas: int = Field(1000, ge=1, le=100_000)
    """With so many busy or starting, requests wait."""
    idle_expiry: Duration = 600 * SECOND
    """A replica stops when its last request ended so long ago."""

    def bounds(self, replicas: int) -> tuple[int, int]:
        """Down to none."""
        return 0, self.max_replicas

    def decide(self, state: Any, observation: Observation, now: int) -> Decision:
        """Nothing to decide once in a while: each request decides for itself."""
        return Decision(state, observation.desired, "each request finds or launches its replica")

    def memory(self) -> int:
        """As long as idle replicas stay."""
        return self.idle_expiry
