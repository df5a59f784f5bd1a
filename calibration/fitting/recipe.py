"""From raw samples to a profile: a pure function, the same bytes whenever it is repeated.

The base of a cell is the median over all sessions: of the thread's own processor time where the model runs on one
thread (what other jobs of the host do hardly moves it), of wall time on several threads or where the model waits for
something, of the time between two events on CUDA. Jitter is of the same clock, over the base and cell by cell: pooling
ratios over batch sizes would misplace the tail, because relative jitter shrinks with the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from calibration.fitting.checks import findings
from calibration.fitting.dependence import effective
from calibration.fitting.grade import grade, worst
from calibration.fitting.grid import Grid, Place, read_grid
from calibration.fitting.laws import STEP_AXES, choose_base, choose_jitter
from calibration.fitting.limits import limits
from calibration.fitting.noise import measured_noise, preempted_share
from calibration.fitting.refits import Resampled, resample
from calibration.fitting.speed import disturbance
from calibration.profile import Profile
from calibration.records import Cell, ColdStart, Fit, Intervals, Measured, Quantiles
from calibration.samples import SamplesFile
from simulator.streams import Floats, Integers

RECIPE = "medians, laws chosen on held-out calls, hierarchical block bootstrap; version 2"
SEED = 1
"""Of the bootstrap."""


def fit(sample_files: Sequence[Path], name: str) -> Profile:
    """The profile of one model on one machine from its sessions, in whatever order they are given.

    Raises InputError for files that cannot be read, or that do not belong together.
    """
    return fit_grid(read_grid(sample_files), name)


def fit_grid(grid: Grid, name: str) -> Profile:
    """The profile of sessions that were read. Raises InputError for a name that scenarios could not write."""
    drawn = resample(grid.by_round(), SEED)
    cells = tuple(_cell(grid, place, number, drawn) for number, place in enumerate(grid.places))
    noise, memory = measured_noise(grid, cells)
    base, jitter, speed = choose_base(grid.axes, cells), choose_jitter(grid, cells), disturbance(grid)
    probed = [file.samples.session.grade for file in grid.files]
    host = max([grade(noise, memory), *(found for found in probed if found)])
    return Profile.build(
        name=name,
        kind="llm_step" if grid.axes == STEP_AXES else "batch",
        level="measured",
        grade=host,
        status=worst(findings(grid, cells, base, host)),
        subject=grid.session.subject,
        environment=grid.session.environment,
        sessions=tuple(map(_measured, grid.files)),
        noise=noise,
        cold_start=_cold_start(grid),
        axes=grid.axes,
        cells=cells,
        fit=Fit(
            recipe=RECIPE,
            seed=SEED,
            clock=grid.clock,
            base=base,
            jitter=jitter,
            interference=speed,
            refits=drawn.refits(_fitted(grid), SEED),
        ),
        limits=limits(grid, cells, base, jitter.levels[-1], speed is not None),
    )


def _fitted(grid: Grid) -> Floats:
    return np.array([np.quantile(grid.pooled(place), (0.5, 0.95, 0.99)) for place in grid.places])


def _whole(value: float | np.floating) -> int:
    return max(1, round(float(value)))


def _quantiles(times: Integers) -> Quantiles:
    p50, p95, p99 = (_whole(value) for value in np.quantile(times, (0.5, 0.95, 0.99)))
    return Quantiles(p50=p50, p95=p95, p99=p99)


def _cell(grid: Grid, place: Place, number: int, drawn: Resampled) -> Cell:
    sessions = grid.by_session(place)
    p50, p95, p99 = ((_whole(low), _whole(high)) for low, high in drawn.intervals()[number].tolist())
    several = len(sessions) > 1
    return Cell(
        at=dict(zip(grid.axes, place, strict=True)),
        n=sum(map(len, sessions)),
        effective=round(effective(sessions), 1),
        base_ns=_whole(np.median(np.concatenate(sessions))),
        wall_ns=_quantiles(grid.pooled(place, "wall_ns")),
        cpu_ns=_quantiles(grid.pooled(place, "cpu_ns")),
        device_ns=_quantiles(grid.pooled(place, "device_ns")) if grid.has("device_ns") else None,
        stages_ns={stage: _quantiles(grid.pooled(place, f"{stage}_ns")) for stage in grid.session.protocol.stages},
        intervals=Intervals(p50=p50, p95=p95, p99=p99),
        between_sessions=_apart(sessions, 0.5) if several else None,
        between_sessions_p99=_apart(sessions, 0.99) if several else None,
        preempted=preempted_share(grid.pooled(place, "switches")) if grid.has("switches") else None,
        faults=round(float(np.median(grid.pooled(place, "faults")))) if grid.has("faults") else None,
    )


def _cold_start(grid: Grid) -> ColdStart | None:
    """Medians over the fresh processes that were watched."""
    starts = [start for file in grid.files for start in file.samples.session.cold]
    if not starts:
        return None
    stages = {
        "import": [start.import_ns for start in starts],
        "build": [start.build_ns for start in starts],
        "first_call": [start.first_call_ns for start in starts],
        "warm_up": [start.warm_up_ns for start in starts],
    }
    return ColdStart(
        processes=len(starts), stages_ns={stage: _whole(np.median(times)) for stage, times in stages.items()}
    )


def _apart(sessions: Sequence[Integers], level: float) -> float:
    found = [float(np.quantile(times, level)) for times in sessions]
    return round(max(found) / min(found), 4)


def _measured(file: SamplesFile) -> Measured:
    samples = file.samples
    return Measured(
        file=file.path.name,
        sha256=file.sha256,
        rows=len(samples.phase),
        columns=("phase", *samples.columns),
        protocol=samples.session.protocol,
        load=samples.session.load,
        provenance=samples.session.provenance,
    )
