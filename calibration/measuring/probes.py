"""What the host does while a subject is timed: read between the rounds, from the files in which Linux tells it."""

from __future__ import annotations

import os
import re
import statistics
import time
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise

from calibration.environment import Load, Probe, Spread, read_fact
from calibration.measuring.nvml import GpuMeter

_EVERY_NS, _EVERY_NS_ON_GPU = 5_000_000_000, 1_000_000_000


class Prober:
    """Reads the host every five seconds, a GPU every second: some tenths of a millisecond, between two rounds."""

    def __init__(self, process: int = 0, gpu: GpuMeter | None = None) -> None:
        self._process, self._gpu = process, gpu
        self._origin = time.perf_counter_ns()
        self._due = 0

    def due(self) -> bool:
        """Whether it is time for another reading."""
        return time.perf_counter_ns() - self._origin >= self._due

    def read(self) -> Probe:
        """The host now."""
        at = time.perf_counter_ns() - self._origin
        self._due = at + (_EVERY_NS_ON_GPU if self._gpu else _EVERY_NS)
        total, busy, steal = _ticks()
        return Probe(
            process=self._process,
            at_ns=at,
            loadavg=_loadavg(),
            total_s=total,
            busy_s=busy,
            steal_s=steal,
            own_s=round(time.process_time(), 6),
            pressure_us=_number("/proc/pressure/cpu", r"some .*total=(\d+)"),
            throttled_us=_number(f"{_group()}/cpu.stat", r"throttled_usec (\d+)"),
            cpu_mhz=_mhz(),
            gpu=self._gpu.read() if self._gpu else None,
        )


def _ticks() -> tuple[float | None, float | None, float | None]:
    line = (read_fact("/proc/stat") or "").split("\n")[0].split()
    if len(line) < 9:
        return None, None, None
    user, nice, system, idle, wait, irq, soft, steal = (int(word) for word in line[1:9])
    per_second = os.sysconf("SC_CLK_TCK")
    busy = user + nice + system + irq + soft
    return (busy + idle + wait + steal) / per_second, busy / per_second, steal / per_second


def _loadavg() -> tuple[float, float, float] | None:
    try:
        one, five, fifteen = os.getloadavg()
    except (OSError, AttributeError):
        return None
    return round(one, 2), round(five, 2), round(fifteen, 2)


def _number(path: str, pattern: str) -> int | None:
    found = re.search(pattern, read_fact(path) or "")
    return int(found[1]) if found else None


def _group() -> str:
    """Folder of this process's control group; within a container its path is the root."""
    found = re.search(r"^0::(/.*)$", read_fact("/proc/self/cgroup") or "", re.MULTILINE)
    return f"/sys/fs/cgroup{found[1]}".rstrip("/") if found else "/sys/fs/cgroup"


def _mhz() -> float | None:
    speeds = [read_fact(f"/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq") for core in range(4)]
    known = [int(speed) / 1000 for speed in speeds if speed and speed.isdecimal()]
    return round(statistics.fmean(known), 1) if known else None


def load(probes: Sequence[Probe]) -> Load:
    """The sum of the readings of a session, the times between its processes left out."""
    on_gpu = [probe.gpu for probe in probes if probe.gpu]
    return Load(
        loadavg_before=probes[0].loadavg,
        loadavg_after=probes[-1].loadavg,
        steal_share=_share(probes, "steal_s", "total_s"),
        others_share=_others(probes),
        pressure_share=_share(probes, "pressure_us", "at_ns", 1e3),
        throttled_share=_share(probes, "throttled_us", "at_ns", 1e3),
        cpu_mhz=_spread(probe.cpu_mhz for probe in probes),
        clock_resolution_ns=max(1, round(time.get_clock_info("perf_counter").resolution * 1e9)),
        clock_overhead_ns=_clock_overhead(),
        gpu_sm_mhz=_spread(reading.sm_mhz for reading in on_gpu),
        gpu_memory_mhz=_spread(reading.memory_mhz for reading in on_gpu),
        gpu_power_w=_spread(reading.power_w for reading in on_gpu),
        gpu_temperature_c=_spread(reading.temperature_c for reading in on_gpu),
        gpu_slowed_by=tuple(sorted({why for reading in on_gpu for why in reading.slowed_by})),
    )


def _spread(values: Iterable[float | None]) -> Spread | None:
    known = [float(value) for value in values if value is not None]
    return Spread(smallest=min(known), median=statistics.median(known), largest=max(known)) if known else None


def _grown(probes: Sequence[Probe], field: str) -> float | None:
    """By how much a counter grew over the processes of a session."""
    whole = 0.0
    for _, group in groupby(probes, key=lambda probe: probe.process):
        values = [getattr(probe, field) for probe in group]
        if None in values:
            return None
        whole += values[-1] - values[0]
    return whole


def _share(probes: Sequence[Probe], part: str, whole: str, scale: float = 1.0) -> float | None:
    grown, over = _grown(probes, part), _grown(probes, whole)
    return _within(grown * scale / over) if grown is not None and over else None


def _others(probes: Sequence[Probe]) -> float | None:
    busy, own, total = (_grown(probes, field) for field in ("busy_s", "own_s", "total_s"))
    return _within((busy - own) / total) if busy is not None and own is not None and total else None


def _within(value: float) -> float:
    # The clocks tick apart, so a tiny share may come out below zero.
    return round(min(max(value, 0.0), 1.0), 4)


def _clock_overhead() -> int:
    readings = [time.perf_counter_ns() for _ in range(1001)]
    return round(statistics.median(later - earlier for earlier, later in pairwise(readings)))
