"""A few figures that clients saw of an LLM engine, as points that the numbers of its steps are fitted to.

The file is YAML (a list below `points`), CSV with the same names as columns, or the observations that `import loadtest`
writes. Not every figure tells of steps: which are left out, and why, is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from calibration.importers.document import Document
from calibration.llm.roofline import Mean, Point
from calibration.observation import Observation, Times, read_observations
from simulator.component import Record, problems
from simulator.errors import InputError
from simulator.quantities import PositiveDuration

FIGURES = ("ttft", "tpot", "itl_p50", "itl_p99")
FULL = 0.05
"""The share of steps that must be full for the p99 of the time between tokens to be theirs, where all clients begin
together: at 5 % it is within 2 % of a full step on the rows of an H100 in `data/measured`, at 3 % it is not."""
_COUNTS = ("clients", "prompt", "output")
Place = tuple[int, int, int]
"""Tokens of prompts, requests that decode, and the context of each of these."""
_FIX = "see docs/llm-steps.md for what a file of points holds"


class LoadPoint(Record):
    """What so many clients saw of one engine, each of whom sends its next request when the last was answered."""

    clients: int = Field(ge=1, le=16384)
    prompt: int = Field(ge=1, le=10**7)
    """Tokens of a prompt, on average."""
    output: int = Field(ge=1, le=10**7)
    """Tokens of an answer, on average."""
    ttft: PositiveDuration | None = None
    """Median or mean time to the first token."""
    tpot: PositiveDuration | None = None
    """Mean time for each token after the first."""
    itl_p50: PositiveDuration | None = None
    """Median time from one token to the next."""
    itl_p99: PositiveDuration | None = None
    """Its 99th percentile."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if all(getattr(self, name) is None for name in FIGURES):
            raise ValueError(f"tells no time; give one of {', '.join(FIGURES)}")
        return self


class _Points(Record):
    points: Annotated[tuple[LoadPoint, ...], Field(strict=False, min_length=1, max_length=10_000)]


@dataclass(frozen=True)
class Figure:
    """One time that was told, and the steps that it is of."""

    label: str
    """Such as `64 clients, 128 + 1024 tokens: itl_p50`."""
    time_ns: int
    of: Point | Mean | None
    """None where it is left out."""
    why: str = ""
    """It is left out."""
    places: tuple[Place, ...] = ()
    """Where these steps lie."""


def read_points(path: Path) -> tuple[LoadPoint, ...]:
    """The points in a file. Raises InputError."""
    document = Document(path)
    if "observations" in document.keys:
        return tuple(_observed(path, number, seen) for number, seen in enumerate(read_observations(path)))
    if path.suffix == ".csv":
        found: Any = {"points": [_row(row.cells) for row in document.rows(_COUNTS)]}
    else:
        found = document.yaml().value
    if isinstance(found, list):
        found = {"points": found}
    try:
        return _Points.model_validate(found).points
    except ValidationError as error:
        where, problem = problems(error)[0]
        raise InputError(problem, file=path, path=where, fix=_FIX) from None


def _row(cells: dict[str, str]) -> dict[str, Any]:
    """A line of a CSV file, without what it leaves empty."""
    return {name: int(text) if name in _COUNTS and text.isdecimal() else text for name, text in cells.items() if text}


def _observed(path: Path, number: int, seen: Observation) -> LoadPoint:
    """The point of a load test. Raises InputError."""
    where = f"observations.{number}"
    clients = 1 if seen.offered.kind == "closed" and seen.offered.clients is None else seen.offered.clients
    if seen.offered.kind != "closed" or clients is None:
        fix = "take a load test of so many clients, each with one request at a time"
        raise InputError("is of no closed loop", file=path, path=f"{where}.offered", fix=fix)
    sizes = {"prompt": seen.input_tokens, "output": seen.output_tokens}
    for name, size in sizes.items():
        if size is None or not size.mean or size.mean < 1:
            raise InputError(f"tells no tokens of the {name}", file=path, path=where, fix="write a file of points")
    told = {"ttft": _middle(seen.ttft), "tpot": seen.tpot.mean_ns if seen.tpot else None}
    told |= {f"itl_p{level * 100:.0f}": seen.itl.quantile(level) for level in (0.5, 0.99) if seen.itl}
    counts = {name: round(size.mean) for name, size in sizes.items() if size is not None and size.mean is not None}
    try:
        return LoadPoint.model_validate({"clients": clients, **counts, **{k: f"{v}ns" for k, v in told.items() if v}})
    except ValidationError as error:
        raise InputError(problems(error)[0][1], file=path, path=where, fix=_FIX) from None


def _middle(times: Times | None) -> int | None:
    return None if times is None else times.quantile(0.5) or times.mean_ns


def figures(points: tuple[LoadPoint, ...], budget: int, overhead_ns: int | None) -> Iterator[Figure]:
    """Every time that points tell, with the steps that it is of.

    `budget` are the tokens that a step computes at most, `overhead_ns` what a first token takes beside its steps.
    """
    for point in points:
        for name in FIGURES:
            if (time := getattr(point, name)) is None:
                continue
            label = f"{point.clients} client{'s' * (point.clients > 1)}, {point.prompt} + {point.output} tokens: {name}"
            of = _of(point, name, time, budget, overhead_ns)
            if isinstance(of, str):
                yield Figure(label, time, None, of)
            else:
                yield Figure(label, time, of, places=_places(point, name, budget))


def _of(point: LoadPoint, name: str, time: int, budget: int, overhead_ns: int | None) -> Point | Mean | str:
    """The steps that a figure is of, or why it tells of none."""
    clients, prompt, output = point.clients, point.prompt, point.output
    if name == "ttft":
        return _first(point, time, budget, overhead_ns)
    if output == 1:
        return "answers of one token have no time between tokens"
    if name == "itl_p99":
        if clients * prompt < budget * max(1.0, FULL * output):
            return f"too few steps have {budget} tokens: the p99 may be of others"
        return Point.full(budget, clients, prompt, output, time)
    # Of a client's answers each token takes a step, and meanwhile every other client brings a prompt.
    prompts = (clients - 1) / output
    if name == "itl_p50":
        if prompts > 0.5:
            return "most steps compute prompts of other clients too"
        return Point.decoding(clients, prompt, output, time)
    return _mean(point, prompts, time)


def _places(point: LoadPoint, name: str, budget: int) -> tuple[Place, ...]:
    """Where the steps lie that a figure is of."""
    clients, prompt, context = point.clients, point.prompt, round(point.prompt + point.output / 2)
    if name == "ttft":
        return ((prompt, 0, 0),)
    if name == "itl_p99":
        decodes = clients - budget // prompt
        return ((budget - decodes, decodes, context if decodes else 0),)
    plain = (0, clients, context)
    if name == "itl_p50" or clients == 1:
        return (plain,)
    decodes, tokens = clients - 1, round(max(1.0, (clients - 1) / point.output) * prompt)
    return (plain, (tokens, decodes, context))


def _first(point: LoadPoint, time: int, budget: int, overhead_ns: int | None) -> Point | str:
    if point.clients > 1:
        return "it holds the wait for the steps and prompts of other clients"
    if point.prompt > budget:
        return f"a prompt of more than {budget} tokens takes several steps"
    if overhead_ns is None:
        return "it holds what is before and after the step too, and nothing tells how much: give --overhead"
    if overhead_ns >= time:
        return "--overhead is all of it"
    return Point(point.prompt, 1, 0, point.prompt**2 / 2, time - overhead_ns)


def _mean(point: LoadPoint, prompts: float, time: int) -> Point | Mean:
    """Steps that decode, and as many as other clients need that compute prompts beside them."""
    plain = Point.decoding(point.clients, point.prompt, point.output, time)
    if not prompts:
        return plain
    each = max(1.0, prompts)
    decodes = max(point.clients - each, 0.0)
    context = decodes * (point.prompt + point.output / 2)
    mixed = Point(decodes + each * point.prompt, point.clients, context, each * point.prompt**2 / 2)
    share = min(1.0, prompts)
    return Mean(((1 - share, plain), (share, mixed)), time)
