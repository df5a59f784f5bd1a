"""Recorded observations played to an autoscaler: what it would have decided. No load, no clock, no chance.

One JSON object a line; see docs/validate-autoscalers.md for the fields of each controller. Times are seconds from any
moment, or dates with times such as 2026-03-01T12:03:15Z; they ascend.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from simulator.autoscaling import Autoscaler, Decision, Observation, Pod, Sample
from simulator.component import Record, problems
from simulator.errors import InputError, suggestion
from simulator.quantities import SECOND


def parse_time(value: object) -> int:
    """Nanoseconds of seconds, or of a date and time as ISO 8601 (since 1970; UTC unless it says so).

    Raises ValueError.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not isfinite(value) or abs(value) > 1e11:
            raise ValueError(f"{value!r} is not a time; write seconds, or such as 2026-03-01T12:03:15Z")
        return round(value * SECOND)
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError(f"{value!r} is not a time; write seconds, or such as 2026-03-01T12:03:15Z")
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * SECOND + since.microseconds * 1000


def _parse_sample(value: object) -> Sample:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("is not a sample; write [time, value]")
    time, number = value
    if isinstance(number, bool) or not isinstance(number, int | float) or not isfinite(number):
        raise ValueError(f"{number!r} is not a value; write a number")
    return Sample(parse_time(time), float(number))


Time = Annotated[int, BeforeValidator(parse_time)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Value = Annotated[float, Field(allow_inf_nan=False)]
Told = Annotated[Sample, BeforeValidator(_parse_sample)]


class SeenPod(Record):
    """One replica in the words of Kubernetes, as `simulator.autoscaling.Pod`."""

    name: str
    phase: Literal["Pending", "Running", "Succeeded", "Failed"] = "Running"
    started: Time | None = None
    ready: bool | None = None
    ready_changed: Time | None = None
    deleted: bool = False
    samples: dict[str, Told] = Field(default_factory=dict)
    """[time, value] by metric."""
    series: dict[str, Annotated[tuple[Told, ...], Field(strict=False)]] = Field(default_factory=dict)
    """All values that became known since the line before, as [time, value]."""

    def pod(self) -> Pod:
        """As autoscalers see it."""
        return Pod(**{name: getattr(self, name) for name in type(self).model_fields})


class Seen(Record):
    """One line: what was known when the autoscaler decided."""

    t: Time
    desired: Count | None = None
    """What was asked for by then; unless given, what the replayed autoscaler asked for last."""
    current: Count | None = None
    """Replicas that were there; as desired unless given."""
    ready: Count | None = None
    """Replicas that took requests; as current unless given."""
    signals: dict[str, Value] = Field(default_factory=dict)
    """The latest known value of each metric of the whole pool."""
    series: dict[str, Annotated[tuple[Told, ...], Field(strict=False)]] = Field(default_factory=dict)
    """All values that became known since the line before, as [time, value]; unless given, `signals` as of now."""
    failed: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Metrics that could not be asked for."""
    pods: Annotated[tuple[SeenPod, ...], Field(strict=False)] = ()
    """One by one, for autoscalers that look at them."""


@dataclass(frozen=True)
class Replayed:
    """One decision."""

    t: int | float | str
    """As the line has it."""
    before: int
    current: int
    decision: Decision

    def data(self) -> dict[str, Any]:
        """As plain data."""
        found = self.decision
        return {
            "t": self.t,
            "before": self.before,
            "current": self.current,
            "desired": found.desired,
            "proposal": found.proposal,
            "limits": list(found.limits),
            "reason": found.reason,
        }


def replay(autoscaler: Autoscaler, lines: Iterable[str], file: str) -> Iterator[Replayed]:
    """One decision for each line that is not empty. Raises InputError, which names the line."""
    state, wanted, last = autoscaler.initial(), None, None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"line {number}"
        data = _object(line, file, where)
        seen = _seen(data, file, where)
        if last is not None and seen.t <= last:
            raise InputError("is not after the line before", file=file, path=f"{where}.t", fix="sort the lines by time")
        _check_names(autoscaler, seen, file, where)
        before = wanted if seen.desired is None else seen.desired
        if before is None:
            raise InputError("is required in the first line", file=file, path=f"{where}.desired", fix="write a number")
        current = before if seen.current is None else seen.current
        observation = Observation(
            desired=before,
            current=current,
            ready=current if seen.ready is None else seen.ready,
            signals=seen.signals or {name: told[-1].value for name, told in seen.series.items() if told},
            series=seen.series or {name: (Sample(seen.t, value),) for name, value in seen.signals.items()},
            failed=frozenset(seen.failed),
            pods=tuple(one.pod() for one in seen.pods),
        )
        decision = autoscaler.decide(state, observation, seen.t)
        state, wanted, last = decision.state, decision.desired, seen.t
        yield Replayed(data["t"], before, current, decision)


def _object(line: str, file: str, where: str) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else f"is not JSON: {error}"
        raise InputError(what, file=file, path=where, fix="write one object a line") from None
    if not isinstance(data, dict):
        raise InputError("is not an object", file=file, path=where, fix='write such as {"t": 15, "desired": 2}')
    return data


def _seen(data: dict[str, Any], file: str, where: str) -> Seen:
    try:
        return Seen.model_validate(data)
    except ValidationError as error:
        path, problem = problems(error)[0]
        raise InputError(problem, file=file, path=f"{where}.{path}" if path else where) from None


def _check_names(autoscaler: Autoscaler, seen: Seen, file: str, where: str) -> None:
    """Every metric that is named is one that the autoscaler reads. Raises InputError."""
    known = autoscaler.reads()
    named = [("signals", name) for name in seen.signals] + [("series", name) for name in seen.series]
    named += [("failed", name) for name in seen.failed]
    named += [(f"pods.{place}.samples", name) for place, pod in enumerate(seen.pods) for name in pod.samples]
    named += [(f"pods.{place}.series", name) for place, pod in enumerate(seen.pods) for name in pod.series]
    for field, name in named:
        if name not in known:
            wrong = f"{name!r} is not a metric that this autoscaler reads"
            raise InputError(wrong, file=file, path=f"{where}.{field}", fix=suggestion(name, known))
