"""Batching: policies that look at what waits, and the rules of named servers, one file each."""

from simulator.batching.base import (
    ALONE,
    DUE,
    FREE,
    FROZEN,
    FULL,
    MERGED,
    NEVER,
    PREFERRED,
    REASONS,
    WAIT,
    Batching,
    Host,
    Policy,
    Rule,
    Scheduler,
    Timer,
)
from simulator.batching.simple import Dynamic, Greedy, NoBatching, Static
from simulator.batching.triton import Triton

__all__ = [
    "ALONE",
    "DUE",
    "FREE",
    "FROZEN",
    "FULL",
    "MERGED",
    "NEVER",
    "PREFERRED",
    "REASONS",
    "WAIT",
    "Batching",
    "Dynamic",
    "Greedy",
    "Host",
    "NoBatching",
    "Policy",
    "Rule",
    "Scheduler",
    "Static",
    "Timer",
    "Triton",
]
