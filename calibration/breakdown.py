"""From a trace of the PyTorch Profiler to where the time goes at each batch size."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args

from calibration.bottleneck import BatchTimes, Bottleneck, Operator, Stage, TraceFile
from calibration.traces import Interval, Nested, Span, Trace, covered, nest, starting_in, union
from simulator.errors import InputError

STAGES: tuple[Stage, ...] = get_args(Stage)
BATCH = "batch {}"
"""Name of the span around a call at one batch size."""
_STEP = "ProfilerStep#"
_LOADER = "enumerate(DataLoader)#"
_BYTES = {"double": 8, "long": 8, "long int": 8, "float": 4, "int": 4, "c10::Half": 2, "c10::BFloat16": 2}
_BYTES |= {"short": 2, "short int": 2, "bool": 1, "unsigned char": 1, "signed char": 1}
_BYTES |= {"c10::Float8_e4m3fn": 1, "c10::Float8_e5m2": 1}

FOREIGN = ("The times are those while recording, which makes every operator slower: read shares, not service times.",)


def from_trace(trace: Trace, name: str) -> Bottleneck:
    """What a trace says by itself: no FLOP, no processor time, and no word on what ran. Raises InputError."""
    return Bottleneck(
        name=name,
        device=trace.device,
        trace=TraceFile(file=trace.file, sha256=trace.sha256),
        batches=batches_of(trace),
        limits=FOREIGN,
    )


def batches_of(trace: Trace) -> tuple[BatchTimes, ...]:
    """The calls of a trace by batch size: those marked so, else its profiler steps, else the whole as one call.

    Raises InputError for a trace in which nothing ran.
    """
    groups: dict[int | None, list[Span]] = defaultdict(list)
    for mark in trace.of("mark"):
        if found := re.fullmatch(BATCH.format("([1-9][0-9]{0,8})"), mark.name):
            groups[int(found[1])].append(mark)
    if not groups:
        groups[None] = [mark for mark in trace.of("mark") if mark.name.startswith(_STEP)] or [_whole(trace)]
    host = nest(trace.of("operator", "call"))
    times = (_batch_times(trace, host, batch, groups[batch]) for batch in sorted(groups, key=lambda b: b or 0))
    filled = tuple(item for item in times if item is not None)
    if not filled:
        fix = "name a trace whose recorded steps run a model"
        raise InputError("nothing ran within its calls", file=trace.file, fix=fix)
    return filled


def _whole(trace: Trace) -> Span:
    spans = trace.of("operator", "call", "kernel", "copy")
    host: dict[tuple[str, str], int] = defaultdict(int)
    for span in trace.of("operator"):
        host[span.track] += span.end - span.start
    track = max(host, key=lambda key: host[key], default=spans[0].track)
    return Span("whole", "mark", min(s.start for s in spans), max(s.end for s in spans), track)


def _batch_times(trace: Trace, host: list[Nested], batch: int | None, calls: list[Span]) -> BatchTimes | None:
    windows = union(call.interval for call in calls)
    wall = max(1, sum(end - start for start, end in windows))
    operators = _operators(trace, host, windows, wall)
    if not operators:
        return None
    thread = calls[0].track
    here = [span for span in trace.of("operator", "call") if span.track == thread]
    waits = [span.interval for span in here if span.kind == "call" and "Synchronize" in span.name]
    stages = {stage: covered(_stage(trace, stage), windows) for stage in STAGES}
    on_device = trace.of("kernel", "copy")
    launches = [span for span in starting_in(trace.of("call"), windows) if _launches(span)]
    return BatchTimes(
        batch=batch,
        calls=len(calls),
        wall_ns=round(wall / len(calls)),
        stages_ns={stage: round(time / len(calls)) for stage, time in stages.items() if time},
        load_share=stages["load"] / wall,
        host_share=covered((span.interval for span in here), windows) / wall,
        waiting_share=covered(waits, windows) / wall,
        **(_device_shares(on_device, windows, wall) if on_device else {}),
        launches=len(launches) / len(calls) if on_device else None,
        launch_ns=round(sum(s.end - s.start for s in launches) / len(launches)) if launches else None,
        peak_bytes=_peak(trace, calls, bool(on_device)),
        operators=operators,
    )


def _stage(trace: Trace, stage: Stage) -> Iterable[Interval]:
    for mark in trace.of("mark", "operator"):
        if mark.name == stage or (stage == "load" and mark.name.startswith(_LOADER)):
            yield mark.interval


def _launches(span: Span) -> bool:
    return "Launch" in span.name and "HostFunc" not in span.name


def _device_shares(spans: list[Span], windows: list[Interval], wall: int) -> dict[str, Any]:
    devices = {span.track[0] for span in spans}
    room = wall * len(devices)
    kernels = copies = 0
    for device in devices:
        there = [span for span in spans if span.track[0] == device]
        running = covered((span.interval for span in there if span.kind == "kernel"), windows)
        kernels += running
        copies += covered((span.interval for span in there), windows) - running
    return {"device_share": kernels / room, "copy_share": copies / room}


def _peak(trace: Trace, calls: list[Span], on_device: bool) -> int | None:
    changes = [item for item in trace.allocations if item.on_device == on_device]
    peaks = []
    for call in calls:
        inside = [item for item in changes if call.start <= item.at < call.end]
        if inside:
            before = inside[0].held - inside[0].change
            peaks.append(max(0, max(item.held for item in inside) - before))
    return max(peaks, default=None)


@dataclass
class _Tally:
    calls: int = 0
    cpu: int = 0
    device: int = 0
    bytes_read: int | None = 0
    longest: int = -1
    shapes: str | None = None


def _operators(trace: Trace, host: list[Nested], windows: list[Interval], wall: int) -> tuple[Operator, ...]:
    inside = set(map(id, starting_in((item.span for item in host), windows)))
    tallies: dict[str, _Tally] = defaultdict(_Tally)
    launchers: dict[int | None, str | None] = {}
    for item in host:
        if id(item.span) not in inside:
            continue
        tally = tallies[item.span.name]
        tally.calls += 1
        tally.cpu += max(0, item.own_ns)
        read = _bytes_read(item.span)
        tally.bytes_read = None if read is None or tally.bytes_read is None else tally.bytes_read + read
        if item.own_ns > tally.longest:
            tally.longest, tally.shapes = item.own_ns, _shapes(item.span)
        if item.span.kind == "call" and item.span.correlation is not None:
            launchers[item.span.correlation] = _operator_around(item)
    work = trace.of("kernel", "copy")
    for span in work:
        known = launchers.get(span.correlation)
        if known is None and not starting_in([span], windows):
            continue
        # A kernel whose launch is unknown, such as one of a graph, stands for itself.
        tally = tallies[known or span.name]
        tally.calls += known is None
        tally.device += span.end - span.start
    total = sum(tally.device for tally in tallies.values()) if work else wall
    rows = [
        Operator(
            name=name,
            calls=tally.calls,
            self_cpu_ns=tally.cpu,
            self_device_ns=tally.device if work else None,
            share=min(1.0, (tally.device if work else tally.cpu) / max(1, total)),
            shapes=tally.shapes,
            bytes_read=tally.bytes_read or None,
        )
        for name, tally in tallies.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.share, -row.self_cpu_ns, row.name)))


def _operator_around(item: Nested) -> str | None:
    around = item.within
    while around is not None and around.span.kind != "operator":
        around = around.within
    return around.span.name if around else None


def _shapes(span: Span) -> str | None:
    shapes = [shape for shape in span.shapes if _plain(shape)]
    return ", ".join("x".join(map(str, shape)) for shape in shapes) or None


def _plain(shape: Any) -> bool:
    """Whether these are the sizes of one tensor, and not of a list of them or of no tensor at all."""
    return isinstance(shape, list) and bool(shape) and all(isinstance(size, int) and size >= 0 for size in shape)


def _bytes_read(span: Span) -> int | None:
    if len(span.shapes) != len(span.types):
        return None
    sized = [(shape, kind) for shape, kind in zip(span.shapes, span.types, strict=True) if shape]
    if not sized or not all(_plain(shape) and kind in _BYTES for shape, kind in sized):
        return None
    return sum(int(math.prod(shape)) * _BYTES[kind] for shape, kind in sized)
