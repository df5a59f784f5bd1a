"""The KEDA ScaledObject: its own loop and the HPA that it makes; see docs/keda.md."""

from simulator.autoscaling.keda.controller import Keda, State
from simulator.autoscaling.keda.spec import Fallback, Modifiers, Trigger

__all__ = ["Fallback", "Keda", "Modifiers", "State", "Trigger"]
