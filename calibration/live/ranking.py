"""Decision agreement: does the simulator rank the settings of a server as the real one does?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from calibration.live.record import Decision, Variant
from calibration.live.servers import Setup
from simulator.quantities import format_duration


def variants(setup: Setup) -> list[Setup]:
    """The setting itself, without its delay, with twice the delay, with half the batch, with twice the batch."""
    changes: list[dict[str, object]] = [
        {},
        {"max_delay": 0},
        {"max_delay": 2 * setup.max_delay},
        {"max_batch": max(1, setup.max_batch // 2)},
        {"max_batch": 2 * setup.max_batch},
    ]
    found: list[Setup] = []
    for change in changes:
        one = setup.model_copy(update=change)
        if one not in found:
            found.append(one)
    return found


def decide(rows: Sequence[Variant]) -> Decision:
    """Ranks by p95, the lower the better."""
    measured = np.array([row.measured_p95 for row in rows])
    simulated = np.array([row.simulated_p95 for row in rows])
    tau = float(stats.kendalltau(measured, simulated).statistic)
    same = int(measured.argmin()) == int(simulated.argmin())
    return Decision(variants=tuple(rows), kendall_tau=tau, same_best=same)


def change(setup: Setup) -> str:
    """What a table calls it."""
    return f"({setup.max_batch}, {format_duration(setup.max_delay)})"
