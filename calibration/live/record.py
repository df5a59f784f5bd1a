"""The record of a validation: everything that its tables, verdicts and charts are made of, in one JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, ValidationError

from calibration.environment import Environment, Load, Provenance
from calibration.files import read_whole, write_whole
from calibration.live.causes import Causes
from calibration.live.device import Device
from calibration.live.servers import Setup
from simulator.component import Record, problems
from simulator.errors import InputError

Level = Literal["V1", "V2", "V2 stalls", "V3"]
LEVELS: dict[Level, str] = {
    "V1": "the device's measured speed at true time: the queue and the batcher alone",
    "V2": "service times measured alone just before",
    "V2 stalls": "the same, with the host's stalls replayed",
    "V3": "the profile that was given",
}
Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE", "not judged"]
Grade = Literal["A", "B", "C"]
Floats = Annotated[tuple[float, ...], Field(strict=False)]
Numbers = Annotated[tuple[int, ...], Field(strict=False)]
Kind = TypeVar("Kind", bound=Record)


class Run(Record):
    """One run of the real server. Times in milliseconds."""

    load: float
    """Share of the measured capacity."""
    repeat: int
    rate: float
    """Requests per second."""
    requests: int
    answered: int
    refused: int
    """With a status other than 200."""
    lost: int
    """Without an answer."""
    lag: Floats
    """How late the client was: median, p95, p99."""
    canary_before: float
    """The device alone, just before: how much slower than at first."""
    canary_after: float
    void: Annotated[tuple[str, ...], Field(strict=False)]
    """Why nothing can be concluded from it; empty where something can."""
    stalls: int
    """Of the host, as far as they show in place."""
    stalled_ms: float
    figures: dict[str, float]


class Comparison(Record):
    """One figure at one load: measured against simulated, over all runs that are not void."""

    level: Level
    load: float
    figure: str
    measured: float
    simulated: float
    error: float
    """Simulated over measured, less one..."""
    low: float
    """...and its 95 % interval, by blocks of time."""
    high: float
    floor: float
    """The largest difference between two runs of the same load."""
    band: float | None
    """The largest error that passes: that of the grade, never tighter than the floor; None where none is claimed."""
    verdict: Verdict


class Distance(Record):
    """How far two distributions of latency are from each other."""

    level: Level
    load: float
    w1_over_mean: float
    """Earth mover's distance over the measured mean."""
    ks: float
    """Largest difference of the two distribution functions."""
    qq: float
    """Largest logarithm of the ratio of two quantiles, from p1 to p99."""


class Curve(Record):
    """What was drawn of one load, measured (level None) or simulated."""

    level: Level | None
    load: float
    latency: Floats
    """Milliseconds at QUANTILES."""
    batches: Floats
    """Share of the batches of size 1, 2, ..."""
    busy: Floats
    """Share of time that replicas were running, by STEP..."""
    present: Floats
    """...and how many requests were in the system then, on average."""


class Cell(Record):
    """One batch size of the device; milliseconds."""

    size: int
    alone: float
    in_place: float | None
    """In the server, on bursts; None where no batch had this size."""
    left_out: float
    """What a straight line through the other sizes says of it."""
    profile: float | None = None
    """The median of the profile of level V3, where one was given."""


class Residuals(Record):
    """Batches of one run over the usual time of their size, in order of time."""

    load: float
    seconds: Floats
    ratios: Floats
    acf: Floats
    """Autocorrelation at lags 0, 1, 2, ..."""


class Family(Record):
    """How well a family of distributions describes the batches in place over the usual time of their size."""

    name: str
    p50: float
    """Error of its quantile."""
    p95: float
    p99: float
    w1: float
    """Earth mover's distance."""


class Variant(Record):
    """Another setting of the same server at the same rate."""

    setup: Setup
    rate: float
    measured_p95: float
    simulated_p95: float


class Decision(Record):
    """Whether the simulator ranks settings as the real server does."""

    variants: Annotated[tuple[Variant, ...], Field(strict=False)]
    kendall_tau: float
    """1: the same order; -1: the reverse."""
    same_best: bool
    """Whether the best one is the same."""


class Validation(Record):
    """A real server against the simulator."""

    format: Literal["validation"] = "validation"
    schema_version: Literal["1.0.0"] = "1.0.0"
    provenance: Provenance
    environment: Environment
    host: Load
    """While it lasted; what the server and the client took counts as others' time."""
    device: Device
    setup: Setup
    seconds: float
    warmup: float
    profile: str | None
    """The one of level V3."""
    grade: Grade
    """Of the host: how far the device alone moved while the validation lasted."""
    causes: Causes
    capacity: float
    """Requests per second of the saturated server..."""
    capacity_simulated: float
    """...and of the simulated one, on the same load."""
    cells: Annotated[tuple[Cell, ...], Field(strict=False)]
    runs: Annotated[tuple[Run, ...], Field(strict=False)]
    comparisons: Annotated[tuple[Comparison, ...], Field(strict=False)]
    distances: Annotated[tuple[Distance, ...], Field(strict=False)]
    curves: Annotated[tuple[Curve, ...], Field(strict=False)]
    residuals: Residuals | None
    families: Annotated[tuple[Family, ...], Field(strict=False)]
    decision: Decision | None

    def judged(self) -> list[Comparison]:
        """The comparisons that have a verdict."""
        return to_judge(self.comparisons)

    def void(self) -> bool:
        """Whether some load has no verdict because of void runs."""
        return any(run.void for run in self.runs) and {run.load for run in self.runs} != {
            one.load for one in self.comparisons
        }

    def holds(self) -> bool:
        """Whether nothing failed, and something was judged."""
        judged = self.judged()
        return bool(judged) and not self.void() and all(one.verdict != "FAIL" for one in judged)


def to_judge(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Those that have a verdict: of V2 where stalls were replayed too, only the latter."""
    stalled = {one.load for one in comparisons if one.level == "V2 stalls"}
    return [
        one for one in comparisons if one.verdict != "not judged" and not (one.level == "V2" and one.load in stalled)
    ]


def save_validation(found: Record, path: Path) -> None:
    """Writes the record of a validation, whole or not at all. Raises InputError."""
    text = json.dumps(found.model_dump(mode="json"), indent=1, allow_nan=False)
    write_whole(path, f"{text}\n".encode())


def load_validation(path: Path) -> Validation:
    """Reads what `save_validation` wrote of a server. Raises InputError."""
    return load_as(Validation, path)


def load_as(kind: type[Kind], path: Path) -> Kind:
    """Reads what `save_validation` wrote, as a record of a kind. Raises InputError."""
    content = read_whole(path, "validation")
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        where, what = problems(error)[0]
        raise InputError(what, file=path, path=where, fix="validate again") from None
