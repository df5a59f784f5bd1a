"""What the times depend on besides the models: facts of the machine and its software, no names of hosts or people."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

_FLAGS = "avx avx2 fma f16c avx512f avx512_vnni avx512_bf16 amx_tile amx_bf16 asimd sve"
_VARIABLES = re.compile(
    r"(OMP|GOMP|KMP|MKL|MALLOC|ONEDNN|DNNL|CUBLAS|NVIDIA_TF32|TORCH)_[A-Z0-9_]+|CUDA_LAUNCH_BLOCKING"
)
_SMI = ("driver_version", "power.limit", "ecc.mode.current", "mig.mode.current", "persistence_mode", "clocks.max.sm")


def environment(torch: Any, device: str, threads: int) -> dict[str, Any]:
    """The same for every process of a measurement."""
    import numpy as np

    return {
        "device": device,
        "threads": threads,
        "cpu": _cpu(),
        "gpu": _gpu(torch) if device == "cuda" else None,
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": {"torch": str(torch.__version__), "numpy": str(np.__version__)},
        "torch": {
            "commit": str(torch.version.git_version),
            "cpu_capability": str(torch.backends.cpu.get_cpu_capability()),
            "matmul_precision": str(torch.get_float32_matmul_precision()),
            "interop_threads": torch.get_num_interop_threads(),
        },
        "numerics": {
            "matmul_tf32": bool(torch.backends.cuda.matmul.allow_tf32),
            "cudnn_tf32": bool(torch.backends.cudnn.allow_tf32),
            "cudnn_benchmark": bool(torch.backends.cudnn.benchmark),
            "deterministic": bool(torch.are_deterministic_algorithms_enabled()),
            "attention": [
                kind
                for kind in ("flash", "mem_efficient", "math", "cudnn")
                if getattr(torch.backends.cuda, f"{kind}_sdp_enabled", bool)()
            ],
        },
        "variables": _variables(),
        "code_sha256": code_sha256(),
    }


def code_sha256() -> str:
    """Digest of the files that measure, since a copy of them knows no git."""
    room = Path(__file__).resolve().parent
    whole = hashlib.sha256()
    for path in (room.parent / "networks.py", *sorted(room.glob("*.py"))):
        whole.update(path.name.encode() + b"\n" + path.read_bytes())
    return f"sha256:{whole.hexdigest()}"


def _variables() -> dict[str, str]:
    # A value with a slash is a path, and paths carry the names of people.
    steering = {name: value for name, value in sorted(os.environ.items()) if _VARIABLES.fullmatch(name)}
    return {name: value for name, value in steering.items() if "/" not in value}


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _cpu() -> dict[str, Any]:
    first = (_read("/proc/cpuinfo") or "").split("\n\n")[0]
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.split("\n"))}
    flags = set((said.get("flags") or said.get("Features") or "").split())
    family = {"family": "cpu family", "model": "model", "stepping": "stepping"}
    caches = {}
    for index in range(8):
        folder = f"/sys/devices/system/cpu/cpu0/cache/index{index}"
        level, kind, size = (_read(f"{folder}/{item}") for item in ("level", "type", "size"))
        if level and kind and size:
            caches[f"L{level} {kind.lower()}"] = size
    return {
        "model": said.get("model name") or platform.processor() or platform.machine(),
        "family": ", ".join(f"{word} {said[key]}" for word, key in family.items() if key in said) or None,
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        "flags": [flag for flag in _FLAGS.split() if flag in flags],
        "caches": caches,
        "virtualised": "hypervisor" in flags if flags else None,
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "quota": _read("/sys/fs/cgroup/cpu.max"),
    }


def _gpu(torch: Any) -> dict[str, Any]:
    said = torch.cuda.get_device_properties(torch.cuda.current_device())
    smi = ask_smi(gpu_id(torch), _SMI)
    limit = smi.get("power.limit", "").split(" ")[0]
    return {
        "name": str(said.name),
        "memory_bytes": int(said.total_memory),
        "capability": f"{said.major}.{said.minor}",
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "driver": smi.get("driver_version"),
        "power_limit_w": float(limit) if re.fullmatch(r"[0-9.]+", limit) else None,
        "ecc": _switched(smi.get("ecc.mode.current")),
        "mig": _switched(smi.get("mig.mode.current")),
        "persistence": _switched(smi.get("persistence_mode")),
        "highest_sm_clock": smi.get("clocks.max.sm"),
        "id_sha256": hashlib.sha256(gpu_id(torch).encode()).hexdigest(),
    }


def _switched(word: str | None) -> bool | None:
    return {"Enabled": True, "Disabled": False}.get(word or "")


def gpu_id(torch: Any) -> str:
    """What NVML knows the GPU by: never written down but as a digest."""
    said = torch.cuda.get_device_properties(torch.cuda.current_device())
    unique = str(getattr(said, "uuid", ""))
    return f"GPU-{unique.removeprefix('GPU-')}" if unique else "0"


def ask_smi(gpu: str, fields: tuple[str, ...]) -> dict[str, str]:
    """What nvidia-smi says; nothing where there is none, or it does not know a field."""
    command = ["nvidia-smi", f"--id={gpu}", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    values = [value.strip() for value in answer.stdout.strip().split(",")]
    return dict(zip(fields, values, strict=True)) if len(values) == len(fields) else {}


def host() -> dict[str, Any]:
    """The host at this moment; None where the system does not tell."""
    line = (_read("/proc/stat") or "").split("\n")[0].split()
    ticks = [int(word) for word in line[1:9]] if len(line) >= 9 else None
    per_second = os.sysconf("SC_CLK_TCK") if ticks else 1
    pressure = re.search(r"some .*total=(\d+)", _read("/proc/pressure/cpu") or "")
    throttled = re.search(r"throttled_usec (\d+)", _read("/sys/fs/cgroup/cpu.stat") or "")
    return {
        "loadavg": [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "total_s": sum(ticks) / per_second if ticks else None,
        "busy_s": (sum(ticks[:3]) + sum(ticks[5:7])) / per_second if ticks else None,
        "steal_s": ticks[7] / per_second if ticks else None,
        "own_s": round(time.process_time(), 6),
        "pressure_us": int(pressure[1]) if pressure else None,
        "throttled_us": int(throttled[1]) if throttled else None,
        "cpu_mhz": None,
    }


def clock() -> dict[str, Any]:
    """The wall clock that is read, its resolution, and what reading it costs."""
    info = time.get_clock_info("perf_counter")
    readings = [time.perf_counter_ns() for _ in range(1001)]
    overhead = round(statistics.median(later - earlier for earlier, later in pairwise(readings)))
    resolution = max(1, round(info.resolution * 1e9))
    return {"name": f"perf_counter ({info.implementation})", "resolution_ns": resolution, "overhead_ns": overhead}


def now() -> str:
    """The time of day in UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
