"""Reads Chrome traces that the PyTorch Profiler has written, of this machine or of any other, and the time in them.

Times are whole nanoseconds since the first event. Of torch's categories these are known: operators (`cpu_op`), the
host's calls of the device's runtime (`cuda_runtime`, `cuda_driver`), what the device did (`kernel`, `gpu_memcpy`,
`gpu_memset`), named spans (`user_annotation`, among them `ProfilerStep#`), and the allocator's `[memory]` events.
"""

from __future__ import annotations

import gzip
import json
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from calibration.files import read_whole, sha256
from simulator.errors import InputError

Kind = Literal["operator", "call", "kernel", "copy", "mark"]
_KINDS: dict[str, Kind] = {
    "cpu_op": "operator",
    "cuda_runtime": "call",
    "cuda_driver": "call",
    "kernel": "kernel",
    "gpu_memset": "kernel",
    "gpu_memcpy": "copy",
    "user_annotation": "mark",
}
_FIX = "name a trace that torch.profiler's export_chrome_trace has written"

Interval = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time, on one thread of the host or one stream of a device."""

    name: str
    kind: Kind
    start: int
    end: int
    track: tuple[str, str]
    """Process and thread; on a device its number and the stream's."""
    correlation: int | None = None
    """The same number for a call of the runtime and for what the device did for it."""
    shapes: tuple[Any, ...] = ()
    """Of the inputs, as recorded: a list of sizes for a tensor."""
    types: tuple[str, ...] = ()

    @property
    def interval(self) -> Interval:
        """Start and end."""
        return self.start, self.end


@dataclass(frozen=True, slots=True)
class Allocation:
    """What an allocator held at a moment."""

    at: int
    held: int
    """Bytes, after a change of `change` bytes."""
    change: int
    on_device: bool


@dataclass(frozen=True)
class Trace:
    """A trace file: its spans and allocations in the order of time."""

    file: str
    sha256: str
    spans: tuple[Span, ...]
    allocations: tuple[Allocation, ...]
    device: str | None
    """Name of the first accelerator, if the trace names one."""

    def of(self, *kinds: Kind) -> list[Span]:
        """The spans of these kinds."""
        return [span for span in self.spans if span.kind in kinds]


def read_trace(path: Path) -> Trace:
    """Reads a trace, plain or compressed with gzip. Raises InputError."""
    content = read_whole(path, "trace")
    return parse_trace(content, path)


def parse_trace(content: bytes, path: Path) -> Trace:
    """The trace in the bytes of a file; `path` is for the errors. Raises InputError."""
    document = trace_document(content, path)
    events = document.get("traceEvents")
    if not isinstance(events, list):
        raise InputError("has no list of traceEvents", file=path, fix=_FIX)
    first = min((event["ts"] for event in events if _timed(event)), default=0)
    spans, allocations = [], []
    for number, event in enumerate(events):
        try:
            if _timed(event) and event.get("ph") == "X" and event.get("cat") in _KINDS:
                spans.append(_span(event, first))
            elif _timed(event) and event.get("name") == "[memory]":
                allocations.append(_allocation(event, first))
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            problem = f"is no event of the profiler ({type(error).__name__}: {error})"
            raise InputError(problem, file=path, path=f"traceEvents.{number}", fix=_FIX) from None
    if not any(span.kind in ("operator", "kernel") for span in spans):
        raise InputError("has no operators and no kernels", file=path, fix=_FIX)
    spans.sort(key=lambda span: (span.start, -span.end))
    allocations.sort(key=lambda item: item.at)
    return Trace(path.name, sha256(content), tuple(spans), tuple(allocations), _device(document))


def trace_document(content: bytes, path: Path) -> dict[str, Any]:
    """The JSON of a trace file as it stands. Raises InputError."""
    try:
        text = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        document = json.loads(text)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError("is cut short or damaged gzip", file=path, fix="export the trace again") from None
    except (ValueError, RecursionError) as error:
        problem = f"is not whole JSON ({' '.join(str(error).split())})"
        raise InputError(problem, file=path, fix="export the trace again") from None
    if isinstance(document, list):  # Chrome's other form: the events alone
        return {"traceEvents": document}
    if not isinstance(document, dict):
        raise InputError("is no trace", file=path, fix=_FIX)
    return document


def _device(document: dict[str, Any]) -> str | None:
    match document.get("deviceProperties"):
        case [{"name": str(name)}, *_]:
            return name
    return None


def _timed(event: Any) -> bool:
    return isinstance(event, dict) and isinstance(event.get("ts"), int | float)


def _span(event: dict[str, Any], first: float) -> Span:
    start, lasts = event["ts"] - first, event["dur"]
    if not isinstance(lasts, int | float) or lasts < 0:
        raise ValueError(f"dur is {lasts!r}")
    facts = event.get("args") or {}
    begin, correlation = round(start * 1000), facts.get("correlation")
    return Span(
        str(event["name"]),
        _KINDS[event["cat"]],
        begin,
        begin + round(lasts * 1000),
        (str(event.get("pid")), str(event.get("tid"))),
        correlation if isinstance(correlation, int) else None,
        tuple(facts.get("Input Dims") or ()),
        tuple(map(str, facts.get("Input type") or ())),
    )


def _allocation(event: dict[str, Any], first: float) -> Allocation:
    facts = event["args"]
    held, change = int(facts["Total Allocated"]), int(facts["Bytes"])
    return Allocation(round((event["ts"] - first) * 1000), held, change, on_device=facts["Device Type"] != 0)


# Time.


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """The same time without overlaps, ascending."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif end > start:
            merged.append((start, end))
    return merged


def covered(intervals: Iterable[Interval], windows: Iterable[Interval]) -> int:
    """How much of the windows the intervals fill, in nanoseconds; what overlaps counts once."""
    total, some, others = 0, union(intervals), union(windows)
    i = j = 0
    while i < len(some) and j < len(others):
        total += max(0, min(some[i][1], others[j][1]) - max(some[i][0], others[j][0]))
        if some[i][1] < others[j][1]:
            i += 1
        else:
            j += 1
    return total


def starting_in(spans: Iterable[Span], windows: Sequence[Interval]) -> list[Span]:
    """The spans that start within one of the windows, which ascend and do not overlap."""
    starts = [start for start, _ in windows]
    found = []
    for span in spans:
        place = bisect_right(starts, span.start) - 1
        if place >= 0 and span.start < windows[place][1]:
            found.append(span)
    return found


@dataclass(slots=True)
class Nested:
    """A span of the host with the time that it did not hand on to a span inside it."""

    span: Span
    own_ns: int
    within: Nested | None


def nest(spans: Iterable[Span]) -> list[Nested]:
    """The spans with their own time, by what lies inside what on each track; given in the order of time."""
    found: list[Nested] = []
    open_on: dict[tuple[str, str], list[Nested]] = {}
    for span in spans:
        around = open_on.setdefault(span.track, [])
        while around and around[-1].span.end <= span.start:
            around.pop()
        outer = around[-1] if around else None
        if outer is not None:
            # Rounding may let an inner span end a little later than the one around it.
            outer.own_ns -= min(span.end, outer.span.end) - span.start
        inner = Nested(span, span.end - span.start, outer)
        around.append(inner)
        found.append(inner)
    return found
