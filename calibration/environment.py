"""Where a measurement was made and what else the host was doing: facts only, no names of hosts or people."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from simulator.component import Record

_FLAGS = "avx avx2 fma f16c avx512f avx512_vnni avx512_bf16 amx_tile amx_bf16 asimd sve"
_VARIABLES = re.compile(r"(OMP|GOMP|KMP|MKL|MALLOC|ONEDNN|DNNL|CUBLAS)_[A-Z0-9_]+|CUDA_LAUNCH_BLOCKING")

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Loads = Annotated[tuple[float, float, float], Field(strict=False)]
Grade = Literal["A", "B", "C", "D"]
"""How quiet the host was: A hardly disturbed, D not fit to measure on."""


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
    """The accelerator as torch and its driver name it; None where they do not say."""

    name: str
    memory_bytes: int
    capability: str
    cuda: str | None
    cudnn: int | None
    driver: str | None = None
    power_limit_w: float | None = None
    ecc: bool | None = None
    """Whether its memory corrects errors."""
    mig: bool | None = None
    """Whether it is split into instances."""


class TorchFacts(Record):
    """What the times of a torch model depend on besides its version."""

    commit: str
    cpu_capability: str
    matmul_precision: str
    interop_threads: int


class Environment(Record):
    """What the times depend on besides the model; the same for every session of a profile."""

    device: Literal["cpu", "cuda"]
    threads: int = Field(ge=1)
    """That the model may use for one batch; the most, where they are an axis."""
    cpu: Cpu
    gpu: Gpu | None = None
    os: str
    python: str
    libraries: dict[str, str] = Field(default_factory=dict)
    """Version of each library that the subject runs on."""
    torch: TorchFacts | None = None
    variables: dict[str, str] = Field(default_factory=dict)
    """Environment variables that steer threads, memory and kernels."""


class GpuReading(Record):
    """The accelerator at a moment; None where its driver does not tell."""

    sm_mhz: int | None
    memory_mhz: int | None
    power_w: float | None
    temperature_c: int | None
    slowed_by: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Why its clocks are not at their highest (NVML's clock event reasons)."""


class Probe(Record):
    """The host between two rounds; None where the system does not tell."""

    process: int = Field(ge=0)
    at_ns: int
    """Since its process began to measure."""
    loadavg: Loads | None
    total_s: float | None
    """Processor time of the whole host since it started, and what of it was busy or taken by its hypervisor."""
    busy_s: float | None
    steal_s: float | None
    own_s: float
    """Processor time of this process."""
    pressure_us: int | None
    """Time during which some task of the host waited for a processor."""
    throttled_us: int | None
    """Time during which the control group had used up its quota."""
    cpu_mhz: float | None
    gpu: GpuReading | None = None


class Spread(Record):
    """The readings of a session."""

    smallest: float
    median: float
    largest: float


class Load(Record):
    """What the host did during a session; None where the system does not tell."""

    loadavg_before: Loads | None
    loadavg_after: Loads | None
    steal_share: Share | None
    """Share of the host's processor time that its hypervisor took away."""
    others_share: Share | None
    """Share of the host's processor time that other processes used."""
    pressure_share: Share | None = None
    """Share of the time in which some task of the host waited for a processor."""
    throttled_share: Share | None = None
    """Share of the time in which the control group had used up its quota."""
    cpu_mhz: Spread | None = None
    gpu_sm_mhz: Spread | None = None
    gpu_memory_mhz: Spread | None = None
    gpu_power_w: Spread | None = None
    gpu_temperature_c: Spread | None = None
    gpu_slowed_by: Annotated[tuple[str, ...], Field(strict=False)] = ()
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


def environment(
    device: Literal["cpu", "cuda"], threads: int, torch: Any = None, libraries: Sequence[str] = ()
) -> Environment:
    """The facts of this process and its host; `torch` is the module, where the subject runs on it."""
    return Environment(
        device=device,
        threads=threads,
        cpu=_cpu(),
        gpu=_gpu(torch) if device == "cuda" else None,
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libraries={"torch": str(torch.__version__)} if torch else {name: metadata.version(name) for name in libraries},
        torch=_torch(torch) if torch else None,
        variables=_variables(),
    )


def _torch(torch: Any) -> TorchFacts:
    return TorchFacts(
        commit=str(torch.version.git_version),
        cpu_capability=str(torch.backends.cpu.get_cpu_capability()),
        matmul_precision=str(torch.get_float32_matmul_precision()),
        interop_threads=torch.get_num_interop_threads(),
    )


def _variables() -> dict[str, str]:
    # A value with a slash is a path, and paths carry the names of people.
    steering = {name: value for name, value in sorted(os.environ.items()) if _VARIABLES.fullmatch(name)}
    return {name: value for name, value in steering.items() if "/" not in value}


def read_fact(path: str) -> str | None:
    """What the system writes into one of its files of facts; None where there is none."""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _cpu() -> Cpu:
    first = (read_fact("/proc/cpuinfo") or "").split("\n\n")[0]
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
        governor=read_fact("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        quota=read_fact("/sys/fs/cgroup/cpu.max"),
    )


_FAMILY = {"family": "cpu family", "model": "model", "stepping": "stepping"}


def _caches() -> dict[str, str]:
    found = {}
    for index in range(8):
        folder = f"/sys/devices/system/cpu/cpu0/cache/index{index}"
        level, kind, size = (read_fact(f"{folder}/{item}") for item in ("level", "type", "size"))
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
