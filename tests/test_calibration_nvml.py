"""No GPU is needed: the package that asks its driver is stood in for, since it cannot answer without one."""

import sys
import types
from typing import Any

import pytest

from calibration.environment import Gpu, GpuReading
from calibration.measuring.nvml import GpuMeter

_GPU = Gpu(name="a GPU", memory_bytes=1, capability="9.0", cuda="13.0", cudnn=9)


class _NoAnswerError(Exception):
    """As pynvml.NVMLError."""


def _refuse(*words: Any) -> Any:
    raise _NoAnswerError


def _nvml(**answers: Any) -> Any:
    module: Any = types.ModuleType("pynvml")
    module.NVMLError, module.asked = _NoAnswerError, []
    module.NVML_CLOCK_SM, module.NVML_CLOCK_MEM, module.NVML_TEMPERATURE_GPU = 1, 2, 0
    module.nvmlInit = lambda: None
    module.nvmlDeviceGetHandleByUUID = lambda unique: module.asked.append(unique) or "handle"
    module.nvmlDeviceGetClockInfo = lambda gpu, which: {1: 1980, 2: 2619}[which]
    module.nvmlDeviceGetTemperature = lambda gpu, which: 41
    module.nvmlDeviceGetPowerUsage = lambda gpu: 123_456
    module.nvmlDeviceGetEnforcedPowerLimit = lambda gpu: 700_000
    module.nvmlDeviceGetEccMode = lambda gpu: [1, 1]
    module.nvmlDeviceGetMigMode = _refuse
    module.nvmlSystemGetDriverVersion = lambda: "580.1"
    module.nvmlDeviceGetCurrentClocksEventReasons = lambda gpu: 0x24
    for name, answer in answers.items():
        setattr(module, name, answer)
    return module


@pytest.fixture
def torch() -> Any:
    properties = types.SimpleNamespace(uuid="1-2-3")
    return types.SimpleNamespace(
        cuda=types.SimpleNamespace(current_device=lambda: 0, get_device_properties=lambda device: properties)
    )


def test_a_reading_is_in_plain_units_and_words(torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = _nvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    meter = GpuMeter(torch)
    assert nvml.asked == ["GPU-1-2-3"]
    slowed = ("power cap", "temperature (driver)")
    assert meter.read() == GpuReading(sm_mhz=1980, memory_mhz=2619, power_w=123.456, temperature_c=41, slowed_by=slowed)
    described = meter.described(_GPU)
    assert (described.driver, described.power_limit_w, described.ecc, described.mig) == ("580.1", 700.0, True, None)
    assert "1-2-3" not in described.model_dump_json()


def test_an_older_driver_calls_the_reasons_throttling(torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = _nvml(
        nvmlDeviceGetCurrentClocksEventReasons=_refuse, nvmlDeviceGetCurrentClocksThrottleReasons=lambda gpu: 0x1
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    reading = GpuMeter(torch).read()
    assert reading is not None
    assert reading.slowed_by == ("idle",)


@pytest.mark.parametrize("module", [None, _nvml(nvmlInit=_refuse)])
def test_without_an_answer_nothing_is_told(module: Any, torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", module)
    meter = GpuMeter(torch)
    assert meter.read() is None
    assert meter.described(_GPU) == _GPU
