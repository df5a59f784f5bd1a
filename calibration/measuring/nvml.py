"""What the driver of an NVIDIA GPU tells, through nvidia-ml-py where that is installed. Nothing is ever changed."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Any

from calibration.environment import Gpu, GpuReading

REASONS = {
    0x1: "idle",
    0x2: "application clocks",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "temperature (driver)",
    0x40: "temperature (hardware)",
    0x80: "power brake",
    0x100: "display clocks",
}
"""NVML's clock event reasons, each a bit: https://docs.nvidia.com/deploy/nvml-api, nvmlClocksEventReasons."""


class GpuMeter:
    """Reads the GPU that torch runs on. Without the package, or a driver that answers, everything is None."""

    def __init__(self, torch: Any) -> None:
        self._nvml: Any = None
        self._gpu: Any = None
        with contextlib.suppress(ImportError):
            nvml = importlib.import_module("pynvml")
            with contextlib.suppress(nvml.NVMLError):
                nvml.nvmlInit()
                self._gpu = _handle(nvml, torch)
                self._nvml = nvml

    def read(self) -> GpuReading | None:
        """The GPU at this moment."""
        nvml = self._nvml
        if nvml is None:
            return None
        power = self._ask(nvml.nvmlDeviceGetPowerUsage)
        return GpuReading(
            sm_mhz=self._ask(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_SM),
            memory_mhz=self._ask(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_MEM),
            power_w=None if power is None else power / 1000,
            temperature_c=self._ask(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU),
            slowed_by=tuple(word for bit, word in REASONS.items() if self._reasons() & bit),
        )

    def described(self, gpu: Gpu) -> Gpu:
        """The facts of the GPU with what its driver adds to them."""
        nvml = self._nvml
        if nvml is None:
            return gpu
        limit = self._ask(nvml.nvmlDeviceGetEnforcedPowerLimit)
        ecc, mig = self._ask(nvml.nvmlDeviceGetEccMode), self._ask(nvml.nvmlDeviceGetMigMode)
        return gpu.model_copy(
            update={
                "driver": str(nvml.nvmlSystemGetDriverVersion()),
                "power_limit_w": None if limit is None else limit / 1000,
                "ecc": None if ecc is None else bool(ecc[0]),
                "mig": None if mig is None else bool(mig[0]),
            }
        )

    def _reasons(self) -> int:
        # The second is the name of the first in older drivers.
        for name in ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"):
            ask = getattr(self._nvml, name, None)
            if ask is not None and (answer := self._ask(ask)) is not None:
                return int(answer)
        return 0

    def _ask(self, question: Callable[..., Any], *words: Any) -> Any:
        try:
            return question(self._gpu, *words)
        except self._nvml.NVMLError:  # not every GPU has everything
            return None


def _handle(nvml: Any, torch: Any) -> Any:
    facts = torch.cuda.get_device_properties(torch.cuda.current_device())
    unique = str(getattr(facts, "uuid", ""))
    if unique:
        return nvml.nvmlDeviceGetHandleByUUID(f"GPU-{unique.removeprefix('GPU-')}")
    return nvml.nvmlDeviceGetHandleByIndex(0)
