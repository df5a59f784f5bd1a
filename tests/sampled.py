"""Samples that follow a known law, as measuring would have written them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats

from calibration.axes import AxisName
from calibration.environment import Cpu, Environment, Load, Provenance
from calibration.samples import FreshStart, Protocol, Samples, Session
from calibration.subjects import Stage, Subject
from simulator.streams import Floats

Law = Callable[..., Floats]
"""(a value for each axis, uniform numbers) -> nanoseconds of processor time."""
BATCHES = ((1,), (2,), (4,))
DAYS = tuple(f"2026-01-0{day}T00:00:00Z" for day in range(1, 10))
"""When sessions started."""

_SUBJECT = Subject(name="m", origin="factory", description="a model", inputs="nx3", dtype="float32", mode="eager")
_LOAD = Load(
    loadavg_before=None,
    loadavg_after=None,
    steal_share=None,
    others_share=None,
    clock_resolution_ns=1,
    clock_overhead_ns=50,
)


def lognormal(batch: int, uniform: Floats) -> Floats:
    """An affine median, with a jitter that shrinks with the batch."""
    times: Floats = (1e6 + 5e5 * batch) * np.exp(0.4 / batch * stats.norm.ppf(uniform))
    return times


def sampled(
    law: Law,
    *,
    axes: tuple[AxisName, ...] = ("batch",),
    points: Sequence[tuple[int, ...]] = BATCHES,
    rounds: int = 200,
    seed: int = 0,
    threads: int = 1,
    wall: float = 1.0,
    device: Any = "cpu",
    started: str = DAYS[0],
    stages: tuple[Stage, ...] = (),
    cold: tuple[FreshStart, ...] = (),
) -> Samples:
    """One session: at every point a call a round, its wall time so many times its processor time."""
    generator = np.random.default_rng(seed)
    cpu = np.array([law(*point, generator.random(rounds)) for point in points]).T.ravel()
    columns: dict[str, Any] = {
        "process": np.zeros(len(cpu)),
        "round": np.repeat(np.arange(rounds), len(points)),
        **{axis: np.tile([point[place] for point in points], rounds) for place, axis in enumerate(axes)},
        "start_ns": np.cumsum(cpu),
        "wall_ns": cpu * wall,
        "cpu_ns": cpu,
    }
    columns |= {"device_ns": cpu / 2} if device == "cuda" else {}
    columns |= {f"{stage}_ns": np.full(len(cpu), 1e5 * (place + 1)) for place, stage in enumerate(stages)}
    columns |= {"switches": np.zeros(len(cpu)), "faults": np.full(len(cpu), 3)}
    whole = {name: np.rint(values).astype(np.int64) for name, values in columns.items()}
    protocol = Protocol(
        axes=axes,
        points=tuple(points),
        stages=stages,
        rounds=rounds,
        rounds_asked=rounds,
        seed=1,
        warmup="none",
        boundary="all",
        wall_clock="a clock",
        cpu_clock="thread" if threads == 1 else "process",
        stop="complete",
    )
    session = Session(
        subject=_SUBJECT,
        environment=Environment(
            device=device,
            threads=threads,
            cpu=Cpu(model="a processor", cores=2, virtualised=False),
            os="an OS",
            python="3",
        ),
        protocol=protocol,
        load=_LOAD,
        provenance=Provenance(
            tool="x", git_commit=None, git_dirty=None, command="x", started_utc=started, finished_utc=started
        ),
        cold=cold,
    )
    return Samples(session, ("measure",) * len(cpu), whole)
