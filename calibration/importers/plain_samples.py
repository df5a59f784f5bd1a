"""A plain CSV of timed calls: a column batch and one of times; no tool's, for figures that one has.

Columns: `batch`; `ms` or `ns` (`wall_ms`, `wall_ns` say the same); perhaps `cpu_ms` or `cpu_ns`, the processor time of
the thread; perhaps `session` (a name), `round` (below 0 is warm-up) and `phase` (`warm` is warm-up).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from calibration.importers.base import Timings
from calibration.importers.document import MILLISECOND, Document, Row
from calibration.importers.offline import as_name, foreign_source, foreign_subject
from calibration.profile import Profile
from calibration.records import Base, Cell, Fit, Jitter, Quantiles
from simulator.errors import InputError
from simulator.streams import Integers

RECIPE = "medians and quantiles of plain samples, version 1"
LEVELS = (*(round(step / 100, 2) for step in range(100)), 0.995)
LEAST = 10
"""Calls that each batch size needs."""
_WALL = {"ms": MILLISECOND, "wall_ms": MILLISECOND, "ns": 1, "wall_ns": 1}
_CPU = {"cpu_ms": MILLISECOND, "cpu_ns": 1}
_LEVEL = (
    "Samples without a record of the machine, the model or the protocol: who timed them, where and how quietly is not "
    "known. Calls made with headroom calibrate measure have all that."
)
_CPU_BASE = "The base is the median processor time, as the file calls it: waiting for a processor is not in it."
_WALL_BASE = "The base is the median wall time: what else the machine did is in base and jitter."
_WAITED = (
    "The processor time in the file is not used: it is not that of one busy thread (even undisturbed calls have {:.2f} "
    "of the wall time)."
)


class PlainSamples(Timings):
    """Plain samples: a CSV of calls with columns batch and ms or ns, perhaps cpu_ms, round, session."""

    kind: Literal["samples"] = "samples"

    def recognises(self, document: Document) -> bool:
        """By the columns."""
        columns = set(document.columns)
        return "batch" in columns and bool(columns & set(_WALL))

    def read(self, document: Document) -> Sequence[Profile]:
        """One profile, called like the file."""
        rows = [row for row in document.rows(("batch",)) if not _warm(row)]
        wall = _column(document, rows, _WALL)
        if wall is None:
            raise InputError("has no column ms or ns", file=document.path, path="line 1", fix="call the times ms or ns")
        cpu = _column(document, rows, _CPU)
        # Calls that nobody disturbed have the largest shares: 1 on one thread that never waits.
        share = None if cpu is None else float(np.quantile(cpu / np.maximum(1, wall), 0.9))
        trusted = share is not None and 0.8 <= share <= 1.05
        times = cpu if cpu is not None and trusted else wall
        batches = np.array([row.at("batch").count() for row in rows], dtype=np.int64)
        sessions = np.array([row.cells.get("session", "") for row in rows])
        cells = [
            _cell(document, batch, batches == batch, times, wall, sessions) for batch in sorted(set(batches.tolist()))
        ]
        waited = [] if share is None or trusted else [_WAITED.format(share)]
        name = document.path.name.split(".")[0]
        return [
            Profile.build(
                name=as_name(name),
                level="published",
                subject=foreign_subject(name, "a model of which the file tells nothing", "not told by the file"),
                source=foreign_source(document, "plain samples", "not told by the file"),
                cells=tuple(cells),
                fit=Fit(
                    recipe=RECIPE,
                    clock="thread_cpu" if trusted else "wall",
                    base=Base(form="table"),
                    jitter=Jitter(
                        levels=LEVELS,
                        ratios=tuple(_ratios(times[batches == cell.at["batch"]], cell.base_ns) for cell in cells),
                    ),
                ),
                limits=(_LEVEL, _CPU_BASE if trusted else _WALL_BASE, *waited),
            )
        ]


def _warm(row: Row) -> bool:
    return row.cells.get("phase") == "warm" or row.cells.get("round", "").startswith("-")


def _column(document: Document, rows: Sequence[Row], names: dict[str, int]) -> Integers | None:
    """Nanoseconds of the one column there is of these."""
    there = [name for name in names if name in document.columns]
    if len(there) > 1:
        raise InputError(
            f"has both {there[0]} and {there[1]}", file=document.path, path="line 1", fix="keep one of them"
        )
    if not there:
        return None
    return np.array([row.at(there[0]).ns(names[there[0]]) for row in rows], dtype=np.int64)


def _cell(
    document: Document, batch: int, mine: np.ndarray, times: Integers, wall: Integers, sessions: np.ndarray
) -> Cell:
    n = int(mine.sum())
    if n < LEAST:
        problem = f"holds {n} calls of batch {batch}, too few to fit"
        raise InputError(problem, file=document.path, path="batch", fix=f"give at least {LEAST} of each batch size")
    medians = [float(np.median(times[mine & (sessions == name)])) for name in sorted(set(sessions[mine].tolist()))]
    spread = round(max(medians) / min(medians), 4) if len(medians) > 1 and min(medians) else None
    p50, p95, p99 = (max(1, round(value)) for value in np.quantile(wall[mine], (0.5, 0.95, 0.99)).tolist())
    return Cell(
        at={"batch": batch},
        n=n,
        base_ns=max(1, round(float(np.median(times[mine])))),
        wall_ns=Quantiles(p50=p50, p95=p95, p99=p99),
        between_sessions=spread,
    )


def _ratios(times: Integers, base: int) -> tuple[float, ...]:
    return tuple(max(1e-6, value) for value in np.round(np.quantile(times, LEVELS) / base, 6).tolist())
