"""What tests against exact values share."""

from __future__ import annotations

import numpy as np

from simulator.case import Case
from simulator.engine import simulate
from simulator.quantities import SECOND
from simulator.recording import CAUSES
from simulator.service import Exponential
from simulator.statistics import quantile

REPLICATIONS = 16


class Simulated:
    """Replications of a case, after its warm-up; times in seconds."""

    def __init__(self, case: Case, replications: int = REPLICATIONS) -> None:
        self.case = case
        self.runs = [simulate(case, number) for number in range(replications)]
        self.measured = [run.arrived >= (case.warmup or 0) for run in self.runs]
        pairs = list(zip(self.runs, self.measured, strict=True))
        self.latency = [run.latency[chosen] / SECOND for run, chosen in pairs]
        compute = CAUSES.index("compute")
        self.wait = [(run.latency - run.causes()[compute])[chosen] / SECOND for run, chosen in pairs]
        self.outcome = [run.outcome[chosen] for run, chosen in pairs]

    def batches(self) -> list[float]:
        """Mean size of a batch of the first pool."""
        return [float(run.pools[0].batches[len(run.pools[0].batches) // 10 :, 4].mean()) for run in self.runs]


def agrees(parts: list[float], exact: float, tolerance: float = 0.02) -> None:
    """The mean of independent values lies within 4 standard errors of the exact value.

    The standard error must be small, so that a wrong engine cannot hide in a wide interval.
    """
    error = float(np.std(parts, ddof=1)) / len(parts) ** 0.5
    assert error < tolerance * abs(exact), f"too noisy to prove anything: {error} of {exact}"
    assert abs(np.mean(parts) - exact) <= 4 * error, f"{np.mean(parts)} against {exact}, standard error {error}"


def means(parts: list[np.ndarray]) -> list[float]:
    """The mean of each replication."""
    return [float(part.mean()) for part in parts]


def quantiles(parts: list[np.ndarray], q: float) -> list[float]:
    """The quantile of each replication."""
    return [quantile(part, q) for part in parts]


def exponential(mean: str) -> Exponential:
    """Exponential service, batches of any size alike."""
    return Exponential.model_validate({"per_request": mean})
