"""Exact formulas: oracles for the engine, and instant estimates.

Rates are per second (or any unit of time), times in the same unit. Sources: Kleinrock, Queueing Systems I-II;
Gross, Shortle, Thompson & Harris, Fundamentals of Queueing Theory; Erlang 1917 for M/D/1; and as stated.
"""

from __future__ import annotations

from simulator.theory.batches import GreedyBatches, group_arrivals_latency
from simulator.theory.failures import disasters, setup_mean_wait
from simulator.theory.finite import BirthDeath, abandonment, blocking, closed_loop, fork_join_latency, tandem_latency
from simulator.theory.orders import ShortestJob, continuous_batching_latency, priority_waits, processor_sharing_latency
from simulator.theory.queues import MD1, MMC, gm1_mean_wait, mg1_mean_wait

__all__ = [
    "MD1",
    "MMC",
    "BirthDeath",
    "GreedyBatches",
    "ShortestJob",
    "abandonment",
    "blocking",
    "closed_loop",
    "continuous_batching_latency",
    "disasters",
    "fork_join_latency",
    "gm1_mean_wait",
    "group_arrivals_latency",
    "mg1_mean_wait",
    "priority_waits",
    "processor_sharing_latency",
    "setup_mean_wait",
    "tandem_latency",
]
