"""Where a model's time goes, in sentences, tables and plain data."""

from __future__ import annotations

from typing import Any

from calibration.bottleneck import BatchTimes, Bottleneck, Operator, Stage
from calibration.breakdown import STAGES
from scenarios.diagnosis import (
    device_use,
    loading,
    memory_bound,
    outside,
    plain,
    processor_use,
    scaling,
    where_it_goes,
)
from scenarios.sheet import Sheet

SHOWN = 10
"""Operators in a table."""


def bottleneck_sentences(found: Bottleneck) -> list[str]:
    """Where the time goes at the largest batch, what holds it up, and whether larger batches help."""
    last = found.batches[-1]
    sentences = [_where(found, last), loading(last.load_share), *_use(found, last)]
    top = last.operators[0]
    sentences.append(memory_bound(top.name, top.flops, top.bytes_read))
    first = found.batches[0]
    if first.batch and last.batch:
        sentences.append(scaling(first.batch, _undisturbed(first), last.batch, _undisturbed(last)))
    return [sentence for sentence in sentences if sentence]


def _undisturbed(item: BatchTimes) -> int:
    return item.wall_ns if item.unrecorded_ns is None else item.unrecorded_ns


def _where(found: Bottleneck, item: BatchTimes) -> str:
    words, share, members = where_it_goes({row.name: row.share for row in item.operators})
    at = f"At batch {item.batch}" if item.batch else "In a call"
    who = found.name if item.device_share is None else f"the device of {found.name}"
    whose = "its time" if item.device_share is None else "its busy time"
    named = ", ".join(f"{name} {part:.0%}" for name, part in list(members.items())[:3] if part >= 0.005)
    detail = f" ({named})" if list(members) != [words] and named else ""
    return f"{at} {who} spends {share:.0%} of {whose} in {words}{detail}."


def _use(found: Bottleneck, item: BatchTimes) -> list[str | None]:
    if item.device_share is not None:
        shares = item.device_share, item.copy_share or 0.0, item.host_share, item.waiting_share, item.load_share
        return [device_use(*shares, item.launches or 0.0, item.launch_ns)]
    if item.cpu_share is None or found.environment is None:
        return [outside(item.host_share)]
    return [processor_use(item.cpu_share, found.environment.threads), outside(item.host_share)]


def bottleneck_sheets(found: Bottleneck) -> list[Sheet]:
    """The batch sizes side by side, and the operators of the largest."""
    return [_batches(found), _operators(found.batches[-1])]


def _batches(found: Bottleneck) -> Sheet:
    columns = [f"batch {item.batch}" if item.batch else "a call" for item in found.batches]
    stages: dict[str, list[str]] = {
        stage: [_ms(item.stages_ns.get(stage)) for item in found.batches] for stage in _stages(found)
    }
    figures = {
        "calls recorded": [str(item.calls) for item in found.batches],
        "wall, recorded": [_ms(item.wall_ns) for item in found.batches],
        "wall, not recorded": [_ms(item.unrecorded_ns) for item in found.batches],
        **stages,
        "loading": [_percent(item.load_share) for item in found.batches],
        "in operators and runtime calls": [_percent(item.host_share) for item in found.batches],
        "processor busy": [_percent(item.cpu_share) for item in found.batches],
        "device busy": [_percent(item.device_share) for item in found.batches],
        "device copying": [_percent(item.copy_share) for item in found.batches],
        "launches a call": [_number(item.launches) for item in found.batches],
        "memory a call adds at most": [_megabytes(item.peak_bytes) for item in found.batches],
        "FLOP/s, at least": [_giga(item.flops_per_s) for item in found.batches],
    }
    known = {name: cells for name, cells in figures.items() if any(cell != "n/a" for cell in cells)}
    return Sheet(_title(found), ("figure", *columns), tuple((name, *cells) for name, cells in known.items()))


def _title(found: Bottleneck) -> str:
    if found.environment is None:
        return f"{found.name}, {found.device or 'no accelerator named'}"
    return f"{found.name}, {found.device or found.environment.cpu.model}, threads: {found.environment.threads}"


def _stages(found: Bottleneck) -> list[Stage]:
    """Besides loading, which has a row of its own."""
    return [stage for stage in STAGES[1:] if any(stage in item.stages_ns for item in found.batches)]


def _operators(item: BatchTimes) -> Sheet:
    device = item.device_share is not None
    columns = ["operator", "share", "calls", "processor", *(["device"] if device else []), "inputs, the longest"]
    rows = []
    for row in item.operators[:SHOWN]:
        times = [_ms(row.self_cpu_ns / item.calls)]
        times += [_ms(row.self_device_ns / item.calls)] if row.self_device_ns is not None else []
        rows.append((plain(row.name), f"{row.share:.1%}", _number(row.calls / item.calls), *times, row.shapes or ""))
    at = f" at batch {item.batch}" if item.batch else ""
    return Sheet(f"operators of a call{at}, without what they call in turn", tuple(columns), tuple(rows))


def _ms(nanoseconds: float | None) -> str:
    return "n/a" if nanoseconds is None else f"{nanoseconds / 1e6:.3f} ms"


def _percent(share: float | None) -> str:
    return "n/a" if share is None else f"{share:.0%}"


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:g}"


def _megabytes(value: int | None) -> str:
    return "n/a" if value is None else f"{value / 1e6:.2f} MB"


def _giga(value: float | None) -> str:
    return "n/a" if value is None else f"{value / 1e9:.1f} G"


def bottleneck_data(found: Bottleneck) -> dict[str, Any]:
    """The record, and what it comes to in sentences."""
    return {"answer": bottleneck_sentences(found), **found.model_dump(mode="json")}


def operator_records(found: Bottleneck) -> list[dict[str, Any]]:
    """One row for each operator at each batch size."""
    return [{"batch": item.batch, **_record(row)} for item in found.batches for row in item.operators]


def _record(row: Operator) -> dict[str, Any]:
    return row.model_dump(mode="json")
