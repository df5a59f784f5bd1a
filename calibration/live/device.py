"""What stands behind a real server: an emulated accelerator or a torch model, and the stamps of its batches.

A server's model makes a `Worker` once in each of its processes, from the text that `Device` is written as, and calls
it with each batch. It answers with the batch's stamps, which travel to the client in each reply: nothing is written
to a file while the server is under load.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NamedTuple

from pydantic import Field

from calibration.live.emulated import Accelerator, Emulated
from calibration.subjects import load_subject, load_torch, parse_shape
from simulator.component import Record

DEVICE, REPLICA = "HEADROOM_DEVICE", "HEADROOM_REPLICA"
"""Environment variables that tell a server's model what it is."""


class Device(Record):
    """An emulated accelerator, or a torch model on one thread."""

    emulated: Emulated | None = None
    model: str | None = None
    """As `headroom calibrate measure` names it."""
    input_shape: str | None = None
    seed: int = Field(1, ge=0)

    @property
    def name(self) -> str:
        """For titles."""
        return self.model or "emulated accelerator"

    def environment(self, replica: int) -> dict[str, str]:
        """What a server's process must find in its environment."""
        return {DEVICE: self.model_dump_json(), REPLICA: str(replica), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Stamps(NamedTuple):
    """One batch in place. Times are readings of CLOCK_MONOTONIC, which all processes of a host share."""

    replica: int
    batch: int
    """Its number on the replica."""
    size: int
    start_ns: int
    end_ns: int
    cpu_ns: int
    """Of the thread that ran it."""


class Worker:
    """The device at work in one process of a server."""

    def __init__(self, device: Device, replica: int, largest: int) -> None:
        self.replica, self.count = replica, 0
        self._run = _runner(device, replica, largest)

    @classmethod
    def from_environment(cls, largest: int) -> Worker:
        """The worker that the server was told to be; it serves batches up to `largest`."""
        return cls(Device.model_validate_json(os.environ[DEVICE]), int(os.environ[REPLICA]), largest)

    def __call__(self, size: int) -> Stamps:
        """Runs a batch."""
        start, before = time.monotonic_ns(), time.thread_time_ns()
        self._run(size)
        after, end = time.thread_time_ns(), time.monotonic_ns()
        self.count += 1
        return Stamps(self.replica, self.count - 1, size, start, end, after - before)


def _runner(device: Device, replica: int, largest: int) -> Callable[[int], object]:
    if device.model is None:
        return Accelerator(device.emulated or Emulated(), replica).run
    torch = load_torch()
    torch.set_num_threads(1)
    shape = parse_shape(device.input_shape) if device.input_shape else None
    subject = load_subject(device.model, seed=device.seed, shape=shape)
    inputs = [subject.inputs(size) for size in range(1, largest + 1)]

    def run(size: int) -> object:
        with torch.inference_mode():
            return subject.module(*inputs[size - 1])

    for size in (1, largest, 1):
        run(size)
    return run
