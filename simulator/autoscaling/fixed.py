"""No autoscaling."""

from __future__ import annotations

from typing import Any, Literal

from simulator.autoscaling.base import Autoscaler, Decision, Observation


class Fixed(Autoscaler):
    """Always the pool's own number of replicas."""

    kind: Literal["fixed"] = "fixed"

    def decide(self, state: Any, observation: Observation, now: int) -> Decision:
        """Keeps what there is."""
        return Decision(state, observation.desired, "the number of replicas is fixed")
