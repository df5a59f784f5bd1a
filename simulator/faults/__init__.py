"""Faults: what goes wrong in a pool, one file for each kin."""

from simulator.faults.base import Fault, Process, Site
from simulator.faults.controlling import ControllerRestart, MetricsOutage
from simulator.faults.failures import MachineFailures, ReplicaFailures
from simulator.faults.losses import MachineLoss, ReplicaLoss, ZoneOutage
from simulator.faults.restarts import Restarts
from simulator.faults.rolling import RollingUpdate
from simulator.faults.spot import SpotPreemption

__all__ = [
    "ControllerRestart",
    "Fault",
    "MachineFailures",
    "MachineLoss",
    "MetricsOutage",
    "Process",
    "ReplicaFailures",
    "ReplicaLoss",
    "Restarts",
    "RollingUpdate",
    "Site",
    "SpotPreemption",
    "ZoneOutage",
]
