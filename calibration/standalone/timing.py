"""The models of a plan made ready, and the clocks around one call of them."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import Any

from calibration.standalone.plan import ALL_NETWORKS, Planned
from calibration.standalone.weights import weights_sha256

Call = Callable[[], Any]
_SHAPES = 10_000
"""That a compiled model may be compiled for."""


class Bench:
    """Builds models, holds them, and makes calls of them. Models and inputs are shared by the modes."""

    def __init__(self, torch: Any, device: str, seed: int) -> None:
        self._torch, self._device, self._seed = torch, device, seed
        self._modules: dict[tuple[str, str], Any] = {}
        self._facts: dict[tuple[str, str], dict[str, Any]] = {}
        self._inputs: dict[tuple[str, str, tuple[int, ...]], tuple[Any, ...]] = {}
        self._pool = torch.cuda.graph_pool_handle() if device == "cuda" else None

    def build(self, subject: Planned) -> dict[str, Any]:
        """Makes the model of a subject, unless another mode has it already, and tells the facts about it."""
        torch, key = self._torch, (subject.network, subject.dtype)
        if key in self._facts:
            return {**self._facts[key], "build_ns": 0}
        began = time.perf_counter_ns()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            module = ALL_NETWORKS[subject.network].build()
        self._modules[key] = module = module.to(self._device, getattr(torch, subject.dtype)).eval()
        if self._device == "cuda":
            torch.cuda.synchronize()
        took = time.perf_counter_ns() - began
        first = self._drawn(subject, subject.points[0])
        batched = "batch" in subject.points[0]
        shapes = ["x".join(["n", *(str(size) for size in item.shape[1:])]) for item in first]
        self._facts[key] = {
            "description": ALL_NETWORKS[subject.network].description,
            "parameters": sum(item.numel() for item in module.parameters()),
            "weights": f"random, seed {self._seed}",
            "weights_sha256": weights_sha256(torch, module),
            "inputs": ", ".join(shapes) if batched else "tokens to prefill, tokens to decode, and the cache of both",
        }
        return {**self._facts[key], "build_ns": took}

    def ready(self, subject: Planned, point: dict[str, int]) -> Call:
        """A call of a subject at a point, its inputs in place."""
        module, inputs = self._modules[subject.network, subject.dtype], self._drawn(subject, point)
        if subject.mode == "compile":
            # Each shape of the grid is compiled for itself, as a server does that knows its batch sizes.
            _allow_shapes(self._torch)
            module = self._torch.compile(module, dynamic=False)
        return self._captured(module, inputs) if subject.mode == "cudagraph" else lambda: module(*inputs)

    def _drawn(self, subject: Planned, point: dict[str, int]) -> tuple[Any, ...]:
        key = (subject.network, subject.dtype, tuple(point.values()))
        if key not in self._inputs:
            dtype = getattr(self._torch, subject.dtype)
            network = ALL_NETWORKS[subject.network]
            self._inputs[key] = network.inputs(point, seed=self._seed, device=self._device, dtype=dtype)
        return self._inputs[key]

    def _captured(self, module: Any, inputs: tuple[Any, ...]) -> Call:
        torch = self._torch
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):  # what libraries set up at their first calls must not be captured
                module(*inputs)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # One pool for all: no output is read, so a graph may write over that of another.
        with torch.cuda.graph(graph, pool=self._pool):
            module(*inputs)
        return graph.replay  # type: ignore[no-any-return]  # torch is Any to mypy


def _allow_shapes(torch: Any) -> None:
    config = torch._dynamo.config
    # The second is what older versions call the first.
    setattr(config, "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit", _SHAPES)


class Stopwatch:
    """Times calls: start, wall, processor, launch, device and gap in nanoseconds, switches, faults, collections.

    On CUDA the device time is that between two events, and the gap that from the end of the last call to the start of
    this one on the device; on a CPU there is no device time, and the gap is that between the calls.
    """

    def __init__(self, torch: Any, device: str, threads: int) -> None:
        self._cpu_clock = time.thread_time_ns if threads == 1 else time.process_time_ns
        self._usage = _usage(threads)
        self._pairs = (
            [tuple(torch.cuda.Event(enable_timing=True) for _ in range(2)) for _ in range(2)]
            if device == "cuda"
            else []
        )
        self._last: Any = None
        self._collections = 0
        self.origin = time.perf_counter_ns()
        gc.callbacks.append(self._collected)

    def _collected(self, phase: str, _: object) -> None:
        self._collections += phase == "start"

    def time(self, call: Call) -> tuple[int, ...]:
        """The numbers of one call."""
        collections, (switches, faults) = self._collections, self._usage()
        times = self._on_cuda(call) if self._pairs else self._on_cpu(call)
        more_switches, more_faults = self._usage()
        return (*times, more_switches - switches, more_faults - faults, int(self._collections > collections))

    def _on_cpu(self, call: Call) -> tuple[int, ...]:
        wall_clock, cpu_clock = time.perf_counter_ns, self._cpu_clock
        start, busy = wall_clock(), cpu_clock()
        output = call()  # kept until after the clocks: freeing it is not part of the forward pass
        busy, end = cpu_clock() - busy, wall_clock()
        del output
        gap = start - self._last if self._last is not None else 0
        self._last = end
        return start - self.origin, end - start, busy, end - start, 0, gap

    def _on_cuda(self, call: Call) -> tuple[int, ...]:
        wall_clock, cpu_clock = time.perf_counter_ns, self._cpu_clock
        first, last = self._pairs[0]
        start, busy = wall_clock(), cpu_clock()
        first.record()
        output = call()
        last.record()
        launched = wall_clock()
        last.synchronize()
        busy, end = cpu_clock() - busy, wall_clock()
        del output
        gap = self._last.elapsed_time(first) if self._last is not None else 0.0
        self._last = last
        self._pairs.reverse()
        device = first.elapsed_time(last)
        times = (start - self.origin, end - start, busy, launched - start)
        return (*times, round(device * 1e6), round(gap * 1e6))


def _usage(threads: int) -> Callable[[], tuple[int, int]]:
    """A function -> involuntary context switches and minor page faults so far."""
    if sys.platform != "linux":
        return lambda: (0, 0)
    import resource  # not on every system

    whose = resource.RUSAGE_THREAD if threads == 1 else resource.RUSAGE_SELF

    def usage() -> tuple[int, int]:
        usage = resource.getrusage(whose)
        return usage.ru_nivcsw, usage.ru_minflt

    return usage
