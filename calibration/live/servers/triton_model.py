"""The model that Triton serves. It is copied into the repository as `model.py` and runs inside Triton's own Python."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

INPUT, OUTPUT = "request", "stamps"
LARGEST, PATH = "HEADROOM_MAX_BATCH", "HEADROOM_PATH"
"""Environment variables: the largest batch, and the folders where Python finds Headroom and what it needs."""


class TritonPythonModel:
    """Answers every request with the stamps of its batch; a request is one item."""

    def initialize(self, args: dict[str, str]) -> None:
        """Makes the device."""
        sys.path.extend(os.environ[PATH].split(os.pathsep))
        device: Any = importlib.import_module("calibration.live.device")
        self.worker = device.Worker.from_environment(int(os.environ[LARGEST]))
        self.numpy: Any = importlib.import_module("numpy")
        self.backend: Any = importlib.import_module("triton_python_backend_utils")

    def execute(self, requests: list[Any]) -> list[Any]:
        """Runs one batch."""
        stamps = self.numpy.array([list(self.worker(len(requests)))], dtype=self.numpy.int64)
        tensor = self.backend.Tensor(OUTPUT, stamps)
        return [self.backend.InferenceResponse(output_tensors=[tensor]) for _ in requests]
