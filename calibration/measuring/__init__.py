"""Timing a subject over a grid, and what the host did meanwhile."""

from calibration.measuring.plan import BATCHES, QUICK_ROUNDS, ROUNDS, Plan, grid_plan
from calibration.measuring.session import Progress, measure

__all__ = ["BATCHES", "QUICK_ROUNDS", "ROUNDS", "Plan", "Progress", "grid_plan", "measure"]
