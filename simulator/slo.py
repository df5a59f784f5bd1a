"""Service level objectives, in one line each.

    p99(latency)<500ms                          a percentile; errors and time-outs count as slower than any bound
    p95(latency)<200ms per class=chat           of one workload only
    p95(ttft)<1s, mean(tpot)<40ms               of LLMs: until the first token, and for each token after it
    p99(itl)<80ms                               of LLMs: from each token of a request to its next
    mean(latency)<=80ms                         the mean; infinite when anything was missed
    rate(errors)<0.1%                           share of requests that were not answered in time
    attainment(latency<300ms)>=99% over 5m      share of requests at least that fast, in every 5 minutes

`over` asks the same of every whole window of that length instead of the whole measured time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, get_args

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

from simulator.errors import suggestion
from simulator.quantities import format_duration, format_share, parse_duration, parse_share

Measure = Literal["percentile", "mean", "errors", "attainment"]
Timing = Literal["latency", "ttft", "tpot", "itl"]
TIMINGS: tuple[Timing, ...] = get_args(Timing)
"""What is timed of a request: until its answer is whole; until its first token is there (TTFT); and, of those with
several tokens, the mean time from one to the next (TPOT: from the first to the last over their number but one). And of
all these times between two tokens each by itself (ITL)."""
GAPS: Timing = "itl"
"""The one of which a request has many: it is counted by when they end, whatever became of their requests."""

_GRAMMAR = re.compile(
    r"""
    \s* (?: p(?P<percent>[0-9]+(?:\.[0-9]+)?) \s*\(\s* (?P<metric>\w+) \s*\)
      | mean \s*\(\s* (?P<mean_metric>\w+) \s*\)
      | rate \s*\(\s* (?P<outcome>\w+) \s*\)
      | attainment \s*\(\s* (?P<attained>\w+) \s*<\s* (?P<bound>[^()<>=\s]+) \s*\)
    )
    \s* (?P<sign><=|>=|<|>) \s* (?P<target>[^\s<>=]+)
    (?: \s+per\s+class\s*=\s*(?P<workload>[A-Za-z0-9._-]+) )?
    (?: \s+over\s+(?P<window>\S+) )? \s*
    """,
    re.VERBOSE,
)
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
    """Nanoseconds, for attainment."""
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
    metric = part["metric"] or part["mean_metric"] or part["attained"]
    if metric not in (None, *TIMINGS):
        raise ValueError(f"{text!r}: {metric!r} is not a known metric; {suggestion(metric, TIMINGS)}")
    if part["outcome"] not in (None, "errors"):
        raise ValueError(f"{text!r}: {part['outcome']!r} cannot be rated; known: errors")
    try:
        return _build(part)
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None


def _build(part: dict[str, Any]) -> Slo:
    sign, workload = part["sign"], part["workload"]
    timing: Timing = part["metric"] or part["mean_metric"] or part["attained"] or "latency"
    window = parse_duration(part["window"]) if part["window"] else None
    if window == 0:
        raise ValueError("the window must be above zero")
    if timing == GAPS and window is not None:
        raise ValueError("itl is known of the whole measured time only: leave out over ...")
    if part["attained"]:
        if sign[0] != ">":
            raise ValueError("attainment is at least a share: use >=")
        target = parse_share(part["target"])
        return Slo("attainment", sign, target, None, parse_duration(part["bound"]), workload, window, timing)
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
