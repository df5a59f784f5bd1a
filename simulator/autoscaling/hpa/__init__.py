"""The Kubernetes HorizontalPodAutoscaler (autoscaling/v2), step by step; see docs/hpa.md."""

from simulator.autoscaling.hpa.controller import Hpa, State, reconcile
from simulator.autoscaling.hpa.spec import Behavior, HpaController, HpaMetric, RatePolicy, Rules

__all__ = ["Behavior", "Hpa", "HpaController", "HpaMetric", "RatePolicy", "Rules", "State", "reconcile"]
