"""Autoscalers: pure functions of what they have seen, one file for each real-world autoscaler."""

from simulator.autoscaling.aws import StepScaling, TargetTracking
from simulator.autoscaling.base import Autoscaler, Decision, Limit, Observation, Pod, Sample
from simulator.autoscaling.fixed import Fixed
from simulator.autoscaling.hpa import Hpa
from simulator.autoscaling.keda import Keda
from simulator.autoscaling.knative import Knative
from simulator.autoscaling.manifest import Manifest
from simulator.autoscaling.metric import Metric
from simulator.autoscaling.per_request import PerRequest
from simulator.autoscaling.predictive import Predictive
from simulator.autoscaling.ray import Ray
from simulator.autoscaling.schedule import Schedule

__all__ = [
    "Autoscaler",
    "Decision",
    "Fixed",
    "Hpa",
    "Keda",
    "Knative",
    "Limit",
    "Manifest",
    "Metric",
    "Observation",
    "PerRequest",
    "Pod",
    "Predictive",
    "Ray",
    "Sample",
    "Schedule",
    "StepScaling",
    "TargetTracking",
]
