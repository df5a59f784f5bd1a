"""Where a model's time goes, as a record: operator by operator at each batch size.

It explains and is never a service time: recording makes every operator a little slower. Times are in nanoseconds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from calibration.environment import Environment, Provenance
from calibration.files import read_whole, write_whole
from calibration.profile import in_words
from calibration.subjects import Subject
from simulator.component import Record
from simulator.errors import InputError

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


Stage = Literal["load", "to_device", "compute", "from_device"]


class Operator(Record):
    """One operator, or one call of the device's runtime, over all calls at a batch size."""

    name: str
    calls: int = Field(ge=1)
    self_cpu_ns: Count
    """On the host, without what it called in turn."""
    self_device_ns: Count | None = None
    """Of the kernels and copies that it launched; None without a device."""
    share: Share
    """Of the device's time, or without a device of the wall time."""
    shapes: str | None = None
    """Of the inputs, where it took longest."""
    flops: Count | None = None
    bytes_read: Count | None = None
    """Of its inputs, where they are all known."""


class BatchTimes(Record):
    """The calls at one batch size."""

    batch: Annotated[int, Field(ge=1)] | None = None
    """None in a trace that does not say."""
    calls: int = Field(ge=1)
    wall_ns: Count
    """Of one call, mean, while recording."""
    unrecorded_ns: Count | None = None
    """The same without recording, median."""
    stages_ns: dict[Stage, Count]
    """Of one call."""
    load_share: Share
    """Of the wall time, for making and collating the inputs."""
    host_share: Share
    """Of the wall time, in operators and runtime calls on the thread that makes the calls."""
    waiting_share: Share
    """Of the wall time, in runtime calls that wait for the device."""
    cpu_share: Share | None = None
    """Of the processor time of the threads that the model may use."""
    device_share: Share | None = None
    """Of the wall time, in which a kernel ran; mean over the devices."""
    copy_share: Share | None = None
    """Of the wall time, in which a device copied and ran no kernel."""
    launches: Annotated[float, Field(ge=0)] | None = None
    """Kernel and graph launches of one call."""
    launch_ns: Count | None = None
    """Time of the host for one of them, mean."""
    peak_bytes: Count | None = None
    """The most memory that a call held beyond what was held when it started."""
    flops_per_s: Annotated[float, Field(ge=0)] | None = None
    """While computing; only of the operators whose FLOP the profiler knows."""
    operators: Annotated[tuple[Operator, ...], Field(strict=False, min_length=1)]
    """The longest first."""


class TraceFile(Record):
    """The trace that the figures were read from."""

    file: str
    sha256: str


class Bottleneck(Record):
    """Where the time goes at each batch size."""

    format: Literal["bottleneck"] = "bottleneck"
    schema_version: Literal[1] = 1
    name: str
    subject: Subject | None = None
    environment: Environment | None = None
    provenance: Provenance | None = None
    device: str | None = None
    """Name of the accelerator, if any."""
    trace: TraceFile
    batches: Annotated[tuple[BatchTimes, ...], Field(strict=False, min_length=1)]
    limits: Annotated[tuple[str, ...], Field(strict=False)]


def save_bottleneck(found: Bottleneck, path: Path) -> None:
    """Writes the record, whole or not at all. Raises InputError."""
    write_whole(path, (json.dumps(found.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n").encode())


def load_bottleneck(path: Path) -> Bottleneck:
    """Reads a record back. Raises InputError."""
    content = read_whole(path, "bottleneck record")
    try:
        json.loads(content)
    except ValueError as error:
        raise InputError(f"is not JSON ({error})", file=path, fix="make the pass again") from None
    with in_words(path):
        return Bottleneck.model_validate_json(content)
