"""Arrival processes: when requests come.

An arrival process gives stamps in integer nanoseconds, block by block. How they are cut into blocks cannot be
observed.
"""

from __future__ import annotations

from simulator.arrivals.agents import Agents
from simulator.arrivals.at_once import AtOnce
from simulator.arrivals.base import BLOCK, Arrivals, Process
from simulator.arrivals.bursty import Bursty, Phase
from simulator.arrivals.closed import Answered, Closed, InTurns, Sessions
from simulator.arrivals.renewal import Deterministic, Gamma, Lognormal, Poisson, Weibull
from simulator.arrivals.replay import Replay, Trace
from simulator.arrivals.scheduled import Diurnal, Piecewise, Spike, Step

__all__ = [
    "BLOCK",
    "Agents",
    "Answered",
    "Arrivals",
    "AtOnce",
    "Bursty",
    "Closed",
    "Deterministic",
    "Diurnal",
    "Gamma",
    "InTurns",
    "Lognormal",
    "Phase",
    "Piecewise",
    "Poisson",
    "Process",
    "Replay",
    "Sessions",
    "Spike",
    "Step",
    "Trace",
    "Weibull",
]
