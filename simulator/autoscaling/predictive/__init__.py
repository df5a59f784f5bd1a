"""An autoscaler that looks ahead; see docs/cloud-autoscalers.md."""

from simulator.autoscaling.predictive.controller import Predictive, State

__all__ = ["Predictive", "State"]
