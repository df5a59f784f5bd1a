"""Balancers: which replica a request goes to, one file for each choice or tight family of choices."""

from simulator.dispatch.base import (
    DRAWN,
    NEXT,
    REASONS,
    SHARED,
    SHORTER,
    SHORTEST,
    TIED,
    Balancer,
    Picker,
    View,
)
from simulator.dispatch.central_queue import CentralQueue
from simulator.dispatch.drawn import Random
from simulator.dispatch.least import LeastOutstanding
from simulator.dispatch.power_of_d import PowerOfTwo
from simulator.dispatch.turns import RoundRobin

__all__ = [
    "DRAWN",
    "NEXT",
    "REASONS",
    "SHARED",
    "SHORTER",
    "SHORTEST",
    "TIED",
    "Balancer",
    "CentralQueue",
    "LeastOutstanding",
    "Picker",
    "PowerOfTwo",
    "Random",
    "RoundRobin",
    "View",
]
