"""mosec: how it is started. What it runs is in `mosec_model`, which imports mosec itself."""

from __future__ import annotations

import importlib.util
import sys

from calibration.live.client import Endpoint
from calibration.live.servers.setup import Setup
from simulator.errors import MeasurementError

TIMEOUT_MS, CAPACITY = 600_000, 100_000
"""So patient and so large that an overload is one, not a storm of requests that expire while they are served."""
BATCH, WAIT = "HEADROOM_MAX_BATCH", "HEADROOM_MAX_WAIT_MS"


def check() -> None:
    """Raises MeasurementError where it is not installed."""
    if importlib.util.find_spec("mosec") is None:
        raise MeasurementError("mosec is not installed; pip install 'inference-headroom[validation]'")


def command(setup: Setup, port: int) -> tuple[list[str], dict[str, str]]:
    """The words that start it, and its environment."""
    wait = str(setup.max_delay // 1_000_000)
    words = [sys.executable, "-m", "calibration.live.servers.mosec_model", "--address", "127.0.0.1"]
    # Without --wait a max_wait_time of 0 would become 10 ms.
    words += ["--port", str(port), "--wait", wait, "--log-level", "warning"]
    words += ["--timeout", str(TIMEOUT_MS), "--capacity", str(CAPACITY)]
    return words, {BATCH: str(setup.max_batch), WAIT: wait}


def endpoint(port: int) -> Endpoint:
    """Where it answers."""
    return Endpoint(port, "/inference", "{}")
