"""The figures of a bottleneck as scalars that TensorBoard reads, one step for each batch size."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from calibration.bottleneck import BatchTimes, Bottleneck
from calibration.files import write_whole
from simulator.errors import MeasurementError

_FIGURES = (
    *("wall_ns", "unrecorded_ns", "load_share", "host_share", "waiting_share", "cpu_share"),
    *("device_share", "copy_share", "launches", "launch_ns", "peak_bytes", "flops_per_s"),
)
_OPERATORS = 10


def load_tensorboard() -> tuple[Any, Any, Any]:
    """What writes TensorBoard's files. Raises MeasurementError where it is not installed."""
    try:
        return tuple(  # type: ignore[return-value]  # three modules
            importlib.import_module(f"tensorboardX.{name}")
            for name in ("record_writer", "proto.event_pb2", "proto.summary_pb2")
        )
    except ImportError:
        raise MeasurementError(
            "tensorboardX is not installed, so no scalars can be written; pip install 'inference-headroom[tensorboard]'"
        ) from None


def save_scalars(found: Bottleneck, path: Path) -> None:
    """Writes an event file; TensorBoard looks for `tfevents` in its name. Raises InputError and MeasurementError.

    The library's own writer would put the name of the host into that of the file.
    """
    records, events, summaries = load_tensorboard()
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / path.name
        writer = records.RecordWriter(str(part))
        writer.write(events.Event(file_version="brain.Event:2").SerializeToString())
        for item in found.batches:
            values = [summaries.Summary.Value(tag=tag, simple_value=value) for tag, value in _scalars(item)]
            event = events.Event(step=item.batch or 0, summary=summaries.Summary(value=values))
            writer.write(event.SerializeToString())
        writer.close()
        write_whole(path, part.read_bytes())


def _scalars(item: BatchTimes) -> Iterator[tuple[str, float]]:
    for name in _FIGURES:
        if (value := getattr(item, name)) is not None:
            yield name, float(value)
    for stage, time in item.stages_ns.items():
        yield f"stage_ns/{stage}", float(time)
    for row in item.operators[:_OPERATORS]:
        yield f"operator_share/{row.name}", row.share
