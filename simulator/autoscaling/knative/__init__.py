"""The Knative Pod Autoscaler, step by step; see docs/knative.md."""

from simulator.autoscaling.knative.controller import Knative, State
from simulator.autoscaling.knative.spec import KnativeController

__all__ = ["Knative", "KnativeController", "State"]
