"""Queue disciplines against exact formulas, within 4 standard errors, and a law that holds to the nanosecond."""

from __future__ import annotations

from dataclasses import replace
from math import exp, inf

import numpy as np
import pytest
from cases import case, poisson, pool
from exact import Simulated, agrees, exponential, means

from simulator.case import Case
from simulator.component import Component
from simulator.discipline import Discipline
from simulator.parts import CaseWorkload
from simulator.quantities import SECOND
from simulator.run.engine import simulate
from simulator.run.recording import END, START, Replication
from simulator.service import Law, Lognormal
from simulator.theory import MMC, ShortestJob, mg1_mean_wait, priority_waits

LOADS = (
    CaseWorkload("urgent", poisson(0.3), (0,), None, priority=1, weight=3, deadline=2 * SECOND),
    CaseWorkload("other", poisson(0.5), (0,), None, priority=2, deadline=20 * SECOND),
)
LAWS = (exponential("1s"), Lognormal.model_validate({"per_request": "1s", "cv": 1.0}))


def one(kind: str, seconds: float, law: Law = LAWS[0], loads: tuple[CaseWorkload, ...] = LOADS) -> Case:
    discipline: Discipline = Component.families["discipline"].choices[kind].model_validate({})  # type: ignore[assignment]
    made = case(poisson(1), pool(law).changed(discipline=discipline), seconds=seconds, warmup=seconds / 10, seed=7)
    return replace(made, workloads=loads)


def by_workload(found: Simulated, number: int) -> list[np.ndarray]:
    return [
        wait[run.workload[chosen] == number]
        for wait, run, chosen in zip(found.wait, found.runs, found.measured, strict=True)
    ]


def test_the_golden_values_of_the_formulas() -> None:
    assert priority_waits([0.3, 0.5], [1, 1], [2, 2]) == pytest.approx([1.142857, 5.714286], abs=1e-6)
    shortest = ShortestJob(0.8, lambda time: exp(-time))
    # Load of those up to 1: 0.8 (1 - 2/e); 0.8 / (1 - that)^2.
    assert shortest.wait(1) == pytest.approx(1.286378, abs=1e-6)
    # Half of what first come, first served makes of it, though few are longest.
    assert shortest.mean_wait() == pytest.approx(1.882219, abs=1e-6)
    assert shortest.mean_wait() < MMC(0.8, 1).mean_wait() / 2


@pytest.mark.parametrize("law", LAWS)
def test_priorities_are_as_cobham_says(law: Law) -> None:
    """Both laws have mean 1 and second moment 2."""
    found = Simulated(one("priority", 40_000, law))
    for number, exact in enumerate(priority_waits([0.3, 0.5], [1, 1], [2, 2])):
        agrees(means(by_workload(found, number)), exact, 0.04)


def test_the_shortest_first_is_as_phipps_says() -> None:
    found, exact = Simulated(one("shortest_job", 40_000)), ShortestJob(0.8, lambda time: exp(-time))
    agrees(means(found.wait), exact.mean_wait())
    for low, high in ((0.0, 0.5), (1.0, 2.0), (2.0, inf)):
        parts = []
        for run, wait, chosen in zip(found.runs, found.wait, found.measured, strict=True):
            work = (run.latency[chosen] / SECOND) - wait
            parts.append(wait[(work >= low) & (work < high)])
        agrees(means(parts), exact.mean_wait(low, high), 0.03)


@pytest.mark.parametrize("kind", ["priority", "earliest_deadline"])
def test_what_one_workload_gains_the_others_pay(kind: str) -> None:
    """Kleinrock's conservation law: the waits, weighted with the loads, have the same sum in every order that does not
    look at sizes: that of first come, first served."""
    found = Simulated(one(kind, 20_000))
    parts = np.array([means(by_workload(found, number)) for number in (0, 1)])
    agrees((np.array([0.3, 0.5]) @ parts).tolist(), 0.8 * mg1_mean_wait(0.8, 1, 2), 0.05)


@pytest.mark.parametrize("law", LAWS)
def test_work_times_wait_has_the_same_sum_in_every_order(law: Law) -> None:
    """On one tape, to the square nanosecond: the work that waits, integrated over time, is the same whatever is next.

    The work in the system falls at speed 1 whenever there is any, in every order; what of it is in service adds half
    of each work's square. So what waits is conserved, in orders that look at sizes too.
    """

    def conserved(run: Replication) -> int:
        rows = run.pools[0].batches[run.visits[0].batch_of]
        works, waits = rows[:, END] - rows[:, START], rows[:, START] - run.arrived
        return sum(work * wait for work, wait in zip(works.tolist(), waits.tolist(), strict=True))

    runs = {kind: simulate(one(kind, 3_000, law), 0) for kind in Discipline.choices}
    assert len({conserved(run) for run in runs.values()}) == 1
    assert len({float(run.latency.mean()) for run in runs.values()}) == len(runs)
