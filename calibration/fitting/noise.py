"""How disturbed the sessions were, as a profile tells it."""

from __future__ import annotations

import numpy as np

from calibration.fitting.dependence import autocorrelation_time, half_drift
from calibration.fitting.grid import Grid
from calibration.records import Cell, Noise
from simulator.streams import Integers


def measured_noise(grid: Grid, cells: tuple[Cell, ...]) -> tuple[Noise, float]:
    """The noise of the sessions; and for how many rounds the wall clock of the median cell remembers it."""
    walls = [times for place in grid.places for times in grid.by_session(place, "wall_ns")]
    memory = float(np.median([autocorrelation_time(np.log(times)) for times in walls]))
    round_ns = float(grid.everything("wall_ns").sum()) / sum(
        file.samples.session.protocol.rounds for file in grid.files
    )
    noise = Noise(
        cpu_over_wall=max(1e-4, round(float(np.median(grid.everything("cpu_ns") / grid.everything("wall_ns"))), 4)),
        preempted=preempted_share(grid.everything("switches")) if grid.has("switches") else None,
        between_sessions=max((cell.between_sessions for cell in cells if cell.between_sessions), default=None),
        variation=max(1e-6, round(_variation(grid), 4)),
        autocorrelation_s=float(f"{memory * round_ns / 1e9:.3g}"),
        drift=round(max(half_drift(grid.by_session(place)) for place in grid.places), 4),
    )
    return noise, memory


def preempted_share(switches: Integers) -> float:
    """Share of the calls during which the system took the processor away."""
    return round(float(np.mean(switches > 0)), 4)


def _variation(grid: Grid) -> float:
    """Standard deviation over mean of the undisturbed calls of one cell in one session, the median of all."""
    found = []
    for place in grid.places:
        times = grid.by_session(place)
        calm = [switches == 0 for switches in grid.by_session(place, "switches")] if grid.has("switches") else None
        for number, values in enumerate(times):
            kept = values if calm is None or calm[number].sum() < 2 else values[calm[number]]
            found.append(float(kept.std() / kept.mean()))
    return float(np.median(found))
