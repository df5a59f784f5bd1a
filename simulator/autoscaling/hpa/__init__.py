"""The Kubernetes HorizontalPodAutoscaler (autoscaling/v2), step by step; see docs/hpa.md."""

from simulator.autoscaling.hpa.spec import Behavior, HpaController, HpaMetric, RatePolicy, Rules

__all__ = ["Behavior", "HpaController", "HpaMetric", "RatePolicy", "Rules"]
