"""The choices `target_tracking` and `step_scaling`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from simulator.autoscaling.aws.steps import StepPolicy
from simulator.autoscaling.aws.target import Policy, ScalableTarget
from simulator.autoscaling.aws.tracking import Tracking


def _or_alone(schema: dict[str, Any]) -> None:
    """Lets a schema take the fields of the only policy in the place of `policies`."""
    own = Tracking.model_json_schema()["properties"] | {"reads": {"type": "object"}}
    schema["properties"] = {**own, **schema["properties"]}
    schema["required"].remove("policies")
    schema["anyOf"] = [{"required": ["policies"]}, {"required": ["target"]}]


class TargetTracking(ScalableTarget):
    """AWS target tracking, modelled: out after a few minutes above a target, in after many below it.

    The fields of a policy that is the only one may stand beside the others, without `policies`.
    """

    model_config = ConfigDict(json_schema_extra=_or_alone)
    kind: Literal["target_tracking"] = "target_tracking"
    policies: Annotated[tuple[Tracking, ...], Field(strict=False, min_length=1, max_length=50)]
    """More replicas if any policy is ready for it, fewer only if all are."""
    steps: Annotated[tuple[StepPolicy, ...], Field(strict=False, max_length=50)] = ()
    """Policies of step scaling on the same target, such as one that leaves zero, which target tracking cannot."""

    @model_validator(mode="before")
    @classmethod
    def _alone(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "policies" in data:
            return data
        own = {name: value for name, value in data.items() if name in Tracking.model_fields}
        return {**{name: value for name, value in data.items() if name not in own}, "policies": [own]} if own else data

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
