"""Service level objectives, in one line each.

    p99(latency)<500ms                          a percentile; errors and time-outs count as slower than any bound
    p95(latency)<200ms per class=chat           of one workload only
    p95(ttft)<1s, mean(tpot)<40ms               of LLMs: until the first token, and for each token after it
    p99(itl)<80ms                               of LLMs: from each token of a request to its next
    mean(latency)<=80ms                         the mean; infinite when anything was missed
    rate(errors)<0.1%                           share of requests that were not answered in time
    attainment(latency<300ms)>=99% over 5m      share of requests at least that fast, in every 5 minutes
    attainment(ttft<500ms, tpot<50ms)>=95%      share of requests that are so in every respect

`over` asks the same of every whole window of that length instead of the whole measured time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

from simulator.errors import suggestion
from simulator.quantities import format_duration, format_share, parse_duration, parse_share

Measure = Literal["percentile", "mean", "errors", "attainment"]
Timing = str
"""One of these, or several of a request with their bounds, such as `ttft<500ms, tpot<50ms`: see `joint`."""
TIMINGS: tuple[Timing, ...] = ("latency", "ttft", "tpot", "itl", "queue")
"""What is timed of a request: until its answer is whole; until its first token is there (TTFT); and, of those with
several tokens, the mean time from one to the next (TPOT: from the first to the last over their number but one). And of
all these times between two tokens each by itself (ITL). And until an engine begins with it (queue)."""
GAPS: Timing = "itl"
"""The one of which a request has many: it is counted by when they end, whatever became of their requests."""

_GRAMMAR = re.compile(
    r"""
    \s* (?: p(?P<percent>[0-9]+(?:\.[0-9]+)?) \s*\(\s* (?P<metric>\w+) \s*\)
      | mean \s*\(\s* (?P<mean_metric>\w+) \s*\)
      | rate \s*\(\s* (?P<outcome>\w+) \s*\)
      | attainment \s*\(\s* (?P<bounds> [^()]+?) \s*\)
    )
    \s* (?P<sign><=|>=|<|>) \s* (?P<target>[^\s<>=]+)
    (?: \s+per\s+class\s*=\s*(?P<workload>[A-Za-z0-9._-]+) )?
    (?: \s+over\s+(?P<window>\S+) )? \s*
    """,
    re.VERBOSE,
)
_BOUND = re.compile(r"\s*(\w+)\s*<\s*([^<>=\s]+)\s*")
ALL = 1
"""The bound of several timings together: they take nothing where each is below its own, and as much as this else."""
_EXAMPLES = "such as p99(latency)<500ms, rate(errors)<0.1% or attainment(latency<300ms)>=99% over 5m"


@dataclass(frozen=True)
class Slo:
    """One objective; `str()` gives back its line."""

    measure: Measure
    sign: Literal["<", "<=", ">", ">="]
    target: float
    """Nanoseconds for percentiles and means, a share for rates and attainment."""
    quantile: float | None = None
    bound: int | None = None
    """Nanoseconds, for attainment; ALL for that of several timings."""
    workload: str | None = None
    window: int | None = None
    """Nanoseconds."""
    timing: Timing = "latency"

    def __str__(self) -> str:
        if self.measure == "percentile":
            head = f"p{format_share(self.quantile or 0).rstrip('%')}({self.timing})"
        elif self.measure == "mean":
            head = f"mean({self.timing})"
        elif self.measure == "errors":
            head = "rate(errors)"
        elif joint(self.timing):
            head = f"attainment({self.timing})"
        else:
            head = f"attainment({self.timing}<{format_duration(self.bound or 0)})"
        timed = self.measure in ("percentile", "mean")
        text = f"{head}{self.sign}{format_duration(int(self.target)) if timed else format_share(self.target)}"
        if self.workload:
            text += f" per class={self.workload}"
        if self.window:
            text += f" over {format_duration(self.window)}"
        return text

    @property
    def limit(self) -> int | None:
        """Nanoseconds within which it wants a request answered; None where it names no time."""
        return self.bound if self.measure != "percentile" and self.measure != "mean" else int(self.target)

    def holds(self, value: float) -> bool:
        """Whether a value of the measure is on the right side of the target."""
        if self.sign == "<":
            return value < self.target
        if self.sign == "<=":
            return value <= self.target
        return value > self.target if self.sign == ">" else value >= self.target

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: value if isinstance(value, Slo) else parse_slo(value),
            core_schema.is_instance_schema(cls),
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "examples": ["p99(latency)<500ms", "rate(errors)<0.1%"]}


def parse_slo(text: object) -> Slo:
    """The objective that a line states. Raises ValueError."""
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not an objective; write a line {_EXAMPLES}")  # noqa: TRY004 - for pydantic
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an objective; write a line {_EXAMPLES}")
    part = match.groupdict()
    bounds = None if part["bounds"] is None else [_BOUND.fullmatch(bound) for bound in part["bounds"].split(",")]
    if bounds is not None and None in bounds:
        raise ValueError(f"{text!r} is not an objective; write a line {_EXAMPLES}")
    pairs = [bound.groups() for bound in bounds or () if bound is not None]
    for metric in (part["metric"], part["mean_metric"], *(name for name, _ in pairs)):
        if metric not in (None, *TIMINGS):
            raise ValueError(f"{text!r}: {metric!r} is not a known metric; {suggestion(metric, TIMINGS)}")
    if part["outcome"] not in (None, "errors"):
        raise ValueError(f"{text!r}: {part['outcome']!r} cannot be rated; known: errors")
    try:
        return _build(part, [(name, parse_duration(bound)) for name, bound in pairs])
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None


def joint(timing: Timing) -> list[tuple[Timing, int]]:
    """The timings that are meant together, each with its bound in nanoseconds; empty where it is a single one."""
    if "<" not in timing:
        return []
    return [(name, parse_duration(bound)) for name, bound in (one.split("<") for one in timing.split(", "))]


def _build(part: dict[str, Any], bounds: list[tuple[Timing, int]]) -> Slo:
    sign, workload = part["sign"], part["workload"]
    timing: Timing = part["metric"] or part["mean_metric"] or (bounds[0][0] if bounds else "latency")
    window = parse_duration(part["window"]) if part["window"] else None
    if window == 0:
        raise ValueError("the window must be above zero")
    if timing == GAPS and window is not None:
        raise ValueError("itl is known of the whole measured time only: leave out over ...")
    if bounds:
        if sign[0] != ">":
            raise ValueError("attainment is at least a share: use >=")
        target, bound = parse_share(part["target"]), bounds[0][1]
        if len(bounds) > 1:
            names = [name for name, _ in bounds]
            if GAPS in names or len(set(names)) < len(names):
                raise ValueError("what is asked together are single times of a request, each once: ttft, tpot")
            timing, bound = ", ".join(f"{name}<{format_duration(bound)}" for name, bound in bounds), ALL
        return Slo("attainment", sign, target, None, bound, workload, window, timing)
    if sign[0] != "<":
        raise ValueError("this measure must stay below its target: use <")
    if part["outcome"]:
        return Slo("errors", sign, parse_share(part["target"]), workload=workload, window=window)
    target = parse_duration(part["target"])
    if part["mean_metric"]:
        return Slo("mean", sign, target, workload=workload, window=window, timing=timing)
    quantile = float(Decimal(part["percent"]) / 100)
    if not 0 < quantile < 1:
        raise ValueError("a percentile lies between p0 and p100, such as p99 or p99.9")
    return Slo("percentile", sign, target, quantile, workload=workload, window=window, timing=timing)
