"""One decision of an autoscaler in a run: that in force at a moment, with what it saw and its arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scenarios.clock import Clock
from scenarios.scaling_sheets import LIMITS
from scenarios.scaling_targets import clock
from scenarios.sheet import Sheet
from scenarios.wording import in_seconds, say
from simulator.errors import InputError
from simulator.figures.results import Result
from simulator.figures.timeline import Row, held_timeline, latency_timeline, scaling_timeline
from simulator.quantities import SECOND, format_duration
from simulator.run.lives import ScalingRecord


@dataclass(frozen=True)
class Explained:
    """A moment of a run, and the decision in force then."""

    at: int
    clock: Clock | None
    record: ScalingRecord
    following: ScalingRecord | None
    state: Row
    """Replicas wanted, ready and starting."""
    slice: Row
    """Arrivals and latencies of the slice of time."""
    held: float
    """Requests in the pool at the end of that slice."""

    def told(self, at: int) -> str:
        """A time of the run, since its beginning, and on the clocks of its users if there are any."""
        return clock(at) if self.clock is None else f"{self.clock.words(at)} ({clock(at)} after the beginning)"


def decision_at(result: Result, number: int, at: int, on: Clock | None = None) -> Explained:
    """The decision in force at a moment of the first replication. Raises InputError where there is none."""
    case, run = result.case, result.tallies[0]
    if at > case.duration:
        wrong = f"{format_duration(at)} is after the end of the run, {format_duration(case.duration)}"
        raise InputError(wrong, path="--at", fix="name a moment in it")
    records = run.lives[number].scaling
    before = [place for place, one in enumerate(records) if one.time <= at]
    if not before:
        first = f"the first decision is at {clock(records[0].time)}" if records else "nothing is ever decided"
        raise InputError(f"no decision is in force at {clock(at)}: {first}", path="--at", fix="name a later moment")
    place = before[-1]
    seconds = at / SECOND
    held = [float(row["held"] or 0) for row in held_timeline(run, case, number) if float(row["time"] or 0) >= seconds]
    return Explained(
        at,
        on,
        records[place],
        records[place + 1] if place + 1 < len(records) else None,
        _last(scaling_timeline(run, case, number), seconds),
        _last(latency_timeline(run), seconds),
        held[0] if held else 0.0,
    )


def _last(rows: list[Row], seconds: float) -> Row:
    return [row for row in rows if float(row["time"] or 0) <= seconds][-1]


def decision_sentence(name: str, found: Explained) -> str:
    """What it wanted, and why."""
    one = found.record
    did = "kept" if one.desired == one.before else f"went from {one.before} to"
    held = f" It was limited: {', '.join(LIMITS[limit] for limit in one.limits)}." if one.limits else ""
    return f"At {found.told(found.at)} {name} wants {one.desired} replicas: at {clock(one.time)} it {did} {one.desired}. {one.reason}.{held}"  # noqa: E501


def decision_sheets(found: Explained) -> list[Sheet]:
    """The decision, what it saw, and how the pool was at the moment."""
    one = found.record
    decided = [
        ("decided at", found.told(one.time)),
        ("stands until", "the end" if found.following is None else found.told(found.following.time)),
        ("wanted", f"{one.desired} (before: {one.before})"),
        ("the metrics asked for", "n/a" if one.proposal is None else str(one.proposal)),
        ("limited by", ", ".join(one.limits) or "nothing"),
        ("reason", one.reason),
    ]
    seen = [*((name, say(value)) for name, value in one.seen), ("replicas there", str(one.current))]
    seen += [("replicas ready", str(one.ready))]
    slice_ = found.slice
    now = [
        (
            "replicas wanted, ready, starting",
            ", ".join(str(found.state[key]) for key in ("wanted", "ready", "starting")),
        ),
        ("arrivals", f"{say(float(slice_['arrivals'] or 0))}/s"),
        ("latency p50, p90 of those that came", ", ".join(_ms(slice_[key]) for key in ("p50", "p90"))),
        ("requests in the pool", say(found.held)),
    ]
    columns = ("what", "value")
    return [
        Sheet("The decision", columns, tuple(decided)),
        Sheet("What it saw", columns, tuple(seen)),
        Sheet(f"The pool at {found.told(found.at)}", columns, tuple(now)),
    ]


def _ms(value: float | str | None) -> str:
    return "n/a" if value is None else say(float(value) / 1e3, in_seconds)


def decision_data(name: str, found: Explained) -> dict[str, Any]:
    """The same as plain data in SI units."""
    one = found.record
    return {
        "answer": decision_sentence(name, found),
        "at_s": found.at / SECOND,
        "at": found.told(found.at),
        "decided_at_s": one.time / SECOND,
        "until_s": None if found.following is None else found.following.time / SECOND,
        "before": one.before,
        "desired": one.desired,
        "proposal": one.proposal,
        "limits": list(one.limits),
        "reason": one.reason,
        "seen": {**dict(one.seen), "current": one.current, "ready": one.ready},
        "replicas": {key: found.state[key] for key in ("wanted", "ready", "starting")},
        "arrivals_per_s": found.slice["arrivals"],
        "requests_in_pool": found.held,
    }
