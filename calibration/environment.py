"""Where a measurement was made and what else the host was doing: facts only, no names of hosts or people."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from simulator.component import Record

_FLAGS = "avx avx2 fma f16c avx512f avx512_vnni avx512_bf16 amx_tile amx_bf16 asimd sve"
_VARIABLES = re.compile(r"(OMP|GOMP|KMP|MKL|MALLOC|ONEDNN|DNNL|CUBLAS)_[A-Z0-9_]+|CUDA_LAUNCH_BLOCKING")

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Loads = Annotated[tuple[float, float, float], Field(strict=False)]


class Cpu(Record):
    """The processor as the system names it; None where it does not say."""

    model: str
    family: str | None = None
    cores: int = Field(ge=1)
    """That the process may run on."""
    flags: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """The vector instructions it has, of those that matter to inference."""
    caches: dict[str, str] = Field(default_factory=dict)
    virtualised: bool | None = None
    governor: str | None = None
    quota: str | None = None
    """The control group's `cpu.max`."""


class Gpu(Record):
    """The accelerator as torch names it."""

    name: str
    memory_bytes: int
    capability: str
    cuda: str | None
    cudnn: int | None


class Environment(Record):
    """What the times depend on besides the model; the same for every session of a profile."""

    device: Literal["cpu", "cuda"]
    threads: int = Field(ge=1)
    interop_threads: int
    cpu: Cpu
    gpu: Gpu | None = None
    os: str
    python: str
    torch: str
    torch_commit: str
    torch_cpu_capability: str
    matmul_precision: str
    variables: dict[str, str] = Field(default_factory=dict)
    """Environment variables that steer threads, memory and kernels."""


class Load(Record):
    """What the host did during a session; None where the system does not tell."""

    loadavg_before: Loads | None
    loadavg_after: Loads | None
    steal_share: Share | None
    """Share of the host's processor time that its hypervisor took away."""
    others_share: Share | None
    """Share of the host's processor time that other processes used."""
    clock_resolution_ns: int
    clock_overhead_ns: int
    """Of reading the wall clock once."""


class Provenance(Record):
    """When and with what a session was measured."""

    tool: str
    git_commit: str | None
    git_dirty: bool | None
    """Whether the measuring code differed from that commit."""
    command: str
    started_utc: str
    finished_utc: str


def environment(torch: Any, device: Literal["cpu", "cuda"], threads: int) -> Environment:
    """The facts of this process and its host."""
    return Environment(
        device=device,
        threads=threads,
        interop_threads=torch.get_num_interop_threads(),
        cpu=_cpu(),
        gpu=_gpu(torch) if device == "cuda" else None,
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        torch=str(torch.__version__),
        torch_commit=str(torch.version.git_version),
        torch_cpu_capability=str(torch.backends.cpu.get_cpu_capability()),
        matmul_precision=str(torch.get_float32_matmul_precision()),
        variables=_variables(),
    )


def _variables() -> dict[str, str]:
    # A value with a slash is a path, and paths carry the names of people.
    steering = {name: value for name, value in sorted(os.environ.items()) if _VARIABLES.fullmatch(name)}
    return {name: value for name, value in steering.items() if "/" not in value}


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _cpu() -> Cpu:
    first = (_read("/proc/cpuinfo") or "").split("\n\n")[0]
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.split("\n"))}
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    family = [f"{word} {facts[key]}" for word, key in _FAMILY.items() if key in facts]
    return Cpu(
        model=facts.get("model name") or platform.processor() or platform.machine(),
        family=", ".join(family) or None,
        cores=len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        flags=tuple(flag for flag in _FLAGS.split() if flag in flags),
        caches=_caches(),
        virtualised="hypervisor" in flags if flags else None,
        governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        quota=_read("/sys/fs/cgroup/cpu.max"),
    )


_FAMILY = {"family": "cpu family", "model": "model", "stepping": "stepping"}


def _caches() -> dict[str, str]:
    found = {}
    for index in range(8):
        folder = f"/sys/devices/system/cpu/cpu0/cache/index{index}"
        level, kind, size = (_read(f"{folder}/{item}") for item in ("level", "type", "size"))
        if level and kind and size:
            found[f"L{level} {kind.lower()}"] = size
    return found


def _gpu(torch: Any) -> Gpu:
    facts = torch.cuda.get_device_properties(torch.cuda.current_device())
    return Gpu(
        name=str(facts.name),
        memory_bytes=int(facts.total_memory),
        capability=f"{facts.major}.{facts.minor}",
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
    )


@dataclass(frozen=True)
class _Ticks:
    """Processor time of the whole host since it started, and of this process, in seconds."""

    total: float
    busy: float
    steal: float
    own: float


def _ticks() -> _Ticks | None:
    line = (_read("/proc/stat") or "").split("\n")[0].split()
    if len(line) < 9:
        return None
    user, nice, system, idle, wait, irq, soft, steal = (int(word) for word in line[1:9])
    per_second = os.sysconf("SC_CLK_TCK")
    busy = user + nice + system + irq + soft
    total = (busy + idle + wait + steal) / per_second
    return _Ticks(total, busy / per_second, steal / per_second, time.process_time())


class LoadMeter:
    """Reads the host's load when it is made, and again when it is asked."""

    def __init__(self) -> None:
        self._loadavg = _loadavg()
        self._ticks = _ticks()

    def load(self) -> Load:
        """What the host did since the meter was made."""
        steal = others = None
        before, after = self._ticks, _ticks()
        if before and after and after.total > before.total:
            total = after.total - before.total
            steal = _share((after.steal - before.steal) / total)
            others = _share(((after.busy - before.busy) - (after.own - before.own)) / total)
        return Load(
            loadavg_before=self._loadavg,
            loadavg_after=_loadavg(),
            steal_share=steal,
            others_share=others,
            clock_resolution_ns=max(1, round(time.get_clock_info("perf_counter").resolution * 1e9)),
            clock_overhead_ns=_clock_overhead(),
        )


def _loadavg() -> tuple[float, float, float] | None:
    try:
        one, five, fifteen = os.getloadavg()
    except (OSError, AttributeError):
        return None
    return round(one, 2), round(five, 2), round(fifteen, 2)


def _share(value: float) -> float:
    # The two clocks tick apart, so a tiny share may come out below zero.
    return round(min(max(value, 0.0), 1.0), 4)


def _clock_overhead() -> int:
    readings = [time.perf_counter_ns() for _ in range(1001)]
    return round(statistics.median(later - earlier for earlier, later in pairwise(readings)))


def provenance(command: str) -> Provenance:
    """Who measures, from which state of the code; the session starts and, so far, ends now."""
    commit, dirty = _git()
    return Provenance(
        tool=f"inference-headroom {_version()}",
        git_commit=commit,
        git_dirty=dirty,
        command=command,
        started_utc=now(),
        finished_utc=now(),
    )


def now() -> str:
    """The time of day in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _version() -> str:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version("inference-headroom")
    return "unknown"


def _git() -> tuple[str | None, bool | None]:
    """Commit of the measuring code and whether it was changed since, if it runs from a checkout."""
    room = Path(__file__).resolve().parent
    top = _ask_git(room, "rev-parse", "--show-toplevel")
    # Installed code may lie inside somebody else's repository.
    if top is None or Path(top) != room.parent:
        return None, None
    changed = _ask_git(room, "status", "--porcelain", "--untracked-files=no", "--", "*.py")
    return _ask_git(room, "rev-parse", "HEAD"), None if changed is None else bool(changed)


def _ask_git(folder: Path, *words: str) -> str | None:
    command = ["git", "-C", str(folder), *words]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
