"""Clocks, power, temperature and what slows the GPU down, ten times a second, while models are timed."""

from __future__ import annotations

import contextlib
import importlib
import re
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

PERIOD_S = 0.1
_FIELDS = ("timestamp", "clocks.sm", "clocks.mem", "power.draw", "temperature.gpu")
_REASONS = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")
"""The second is the name of the first in older drivers."""

_NUMBER = r"\d+(\.\d+)?"

Reading = tuple[int, int, int, int, int]
"""SM and memory clock in MHz, power in mW, temperature in °C, NVML's clock event reasons; -1 for what is not told."""


class Monitor:
    """A thread that reads until it is stopped. `source` says by what: nvml, nvidia-smi, or nothing."""

    def __init__(self, gpu: str | None, process: int) -> None:
        self._process = process
        self._origin = time.perf_counter_ns()
        self._lines: list[str] = []
        self._over = threading.Event()
        self._child: subprocess.Popen[str] | None = None
        self.source = "nothing"
        watch = None
        if gpu is not None:
            watch = self._by_nvml(gpu) or self._by_smi(gpu)
        self._thread = threading.Thread(target=watch, daemon=True) if watch else None
        if self._thread:
            self._thread.start()

    def taken(self) -> list[str]:
        """The readings since this was last asked, as rows."""
        lines, self._lines = self._lines, []
        return lines

    def stop(self) -> None:
        """Ends the reading."""
        self._over.set()
        if self._child:
            self._child.terminate()
            self._child.wait()
        if self._thread:
            self._thread.join(5)
        if self._child and self._child.stdout:
            self._child.stdout.close()

    def _note(self, reading: Reading, ago_s: float = 0.0) -> None:
        at = time.perf_counter_ns() - self._origin - round(ago_s * 1e9)
        self._lines.append(",".join(map(str, (self._process, at, *reading))))

    def _by_nvml(self, gpu: str) -> Callable[[], None] | None:
        try:
            nvml = importlib.import_module("pynvml")
            nvml.nvmlInit()
            handle = nvml.nvmlDeviceGetHandleByIndex(0) if gpu == "0" else nvml.nvmlDeviceGetHandleByUUID(gpu)
        except Exception:  # not installed, no driver, or a GPU that it does not show: nvidia-smi is asked instead
            return None
        self.source = "nvml"
        newer = hasattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons")
        reasons = f"nvmlDeviceGetCurrentClocks{'Event' if newer else 'Throttle'}Reasons"
        questions: tuple[Callable[[], Any], ...] = (
            lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
            lambda: nvml.nvmlDeviceGetPowerUsage(handle),
            lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            lambda: getattr(nvml, reasons)(handle),
        )

        def watch() -> None:
            while not self._over.wait(PERIOD_S):
                values = [-1] * len(questions)
                for place, question in enumerate(questions):
                    with contextlib.suppress(Exception):  # not every GPU tells everything
                        values[place] = int(question())
                self._note((values[0], values[1], values[2], values[3], values[4]))

        return watch

    def _by_smi(self, gpu: str) -> Callable[[], None] | None:
        for reasons in _REASONS:
            command = ["nvidia-smi", f"--id={gpu}", f"--query-gpu={','.join((*_FIELDS, reasons))}"]
            command += ["--format=csv,noheader,nounits"]
            try:
                subprocess.run(command, capture_output=True, timeout=20, check=True)
                every = f"--loop-ms={round(PERIOD_S * 1000)}"
                child = subprocess.Popen(
                    [*command, every], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
                )
            except (OSError, subprocess.SubprocessError):
                continue
            self._child, self.source = child, "nvidia-smi"

            def watch(lines: Any = child.stdout) -> None:
                for line in lines:
                    found = parse_smi(line)
                    if found:
                        # Lines may come some at a time: when they were made is what they say.
                        self._note(found[1], ago_s=time.time() - found[0])

            return watch
        return None


def parse_smi(line: str) -> tuple[float, Reading] | None:
    """When a line of nvidia-smi was made, in seconds of the time of day, and its reading; None for what is no line."""
    words = [word.strip() for word in line.split(",")]
    if len(words) != len(_FIELDS) + 1:
        return None
    try:
        when = datetime.strptime(words[0], "%Y/%m/%d %H:%M:%S.%f").timestamp()
    except ValueError:
        return None
    sm, memory, power, temperature = (float(word) if re.fullmatch(_NUMBER, word) else -1 for word in words[1:-1])
    reasons = int(words[-1], 16) if re.fullmatch(r"0x[0-9a-fA-F]+", words[-1]) else -1
    milliwatts = round(power * 1000) if power >= 0 else -1
    return when, (round(sm), round(memory), milliwatts, round(temperature), reasons)
