"""Arrival processes: when requests come.

An arrival process gives stamps in integer nanoseconds, block by block. How they are cut into blocks cannot be
observed.
"""

from __future__ import annotations

from simulator.arrivals.base import BLOCK, Arrivals, Process
from simulator.arrivals.renewal import Poisson
from simulator.arrivals.replay import Replay, Trace

__all__ = ["BLOCK", "Arrivals", "Poisson", "Process", "Replay", "Trace"]
