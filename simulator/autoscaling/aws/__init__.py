"""Target tracking and step scaling as AWS does them, modelled; see docs/cloud-autoscalers.md."""

from simulator.autoscaling.aws.scaling import StepScaling, TargetTracking
from simulator.autoscaling.aws.steps import Step, StepPolicy
from simulator.autoscaling.aws.target import State
from simulator.autoscaling.aws.tracking import Tracking

__all__ = ["State", "Step", "StepPolicy", "StepScaling", "TargetTracking", "Tracking"]
