"""NVIDIA Triton: an ordinary model repository with a Python model, and how it is started."""
from __future__ import annotations
from pathlib import Path
from calibration.live.client import Endpoint
from calibration.live.device import Device
from calibration.live.servers.setup import Setup
def command(setup: Setup, device: Device, port: int, folder: Path, where: Path | None) -> tuple[list[str], dict[str, str]]:
    raise NotImplementedError
def endpoint(port: int) -> Endpoint:
    raise NotImplementedError
