"""The choices `target_tracking` and `step_scaling`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from simulator.autoscaling.aws.steps import StepPolicy
from simulator.autoscaling.aws.target import Policy, ScalableTarget
from simulator.autoscaling.aws.tracking import Tracking


class TargetTracking(ScalableTarget):
    """AWS target tracking, modelled: out after a few minutes above a target, in after many below it."""

    kind: Literal["target_tracking"] = "target_tracking"
    policies: Annotated[tuple[Tracking, ...], Field(strict=False, min_length=1, max_length=50)]
    """More replicas if any policy is ready for it, fewer only if all are."""
    steps: Annotated[tuple[StepPolicy, ...], Field(strict=False, max_length=50)] = ()
    """Policies of step scaling on the same target, such as one that leaves zero, which target tracking cannot."""

    @property
    def all_policies(self) -> tuple[Policy, ...]:
        """Those of target tracking first."""
        return (*self.policies, *self.steps)


class StepScaling(ScalableTarget):
    """AWS step scaling, modelled: alarms that change the replicas by how far a threshold is breached."""

    kind: Literal["step_scaling"] = "step_scaling"
    policies: Annotated[tuple[StepPolicy, ...], Field(strict=False, min_length=1, max_length=50)]
    """Where several alarms are on, the one that leaves most replicas is followed."""

    @property
    def all_policies(self) -> tuple[Policy, ...]:
        """As they are written."""
        return self.policies
