"""The clocks around one call. What is read costs a few microseconds, outside the time that is told."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import Any

from calibration.subjects import Clock, Stage, Step, Target, Work

_Timed = tuple[Any, int, int, int, int]
"""What the computation returned, its start, and its wall, processor and device time, in nanoseconds."""


class Stopwatch:
    """Times calls of one subject into rows, a value for each of `columns`."""

    def __init__(self, target: Target, stages: tuple[Stage, ...]) -> None:
        on_cuda = target.setting.device == "cuda"
        self._counts = sys.platform == "linux" and target.clock(1) != "children"
        self.columns: tuple[str, ...] = (
            *("start_ns", "wall_ns", "cpu_ns"),
            *(("device_ns",) if on_cuda else ()),
            *(("switches", "faults") if self._counts else ()),
            *("collected", *(f"{stage}_ns" for stage in stages)),
        )
        self._target, self._stages, self._on_cuda = target, stages, on_cuda
        self._settle = target.torch.cuda.synchronize if on_cuda else _nothing
        self._usage: Callable[[], tuple[int, int]] = _no_usage
        self.use_threads(1, target.clock(1))
        self._collections = 0
        self._origin = time.perf_counter_ns()
        gc.callbacks.append(self._collected)

    def close(self) -> None:
        """Stops listening to the garbage collector."""
        gc.callbacks.remove(self._collected)

    def _collected(self, phase: str, _: object) -> None:
        self._collections += phase == "start"

    def use_threads(self, count: int, clock: Clock) -> None:
        """Lets the subject use so many threads, and reads that processor clock."""
        self._target.use_threads(count)
        self._compute: Callable[[Step, Any], _Timed] = (
            _on_cuda(self._target.torch, clock) if self._on_cuda else _on_cpu(clock)
        )
        self._usage = _usage(clock) if self._counts else _no_usage

    def time(self, work: Work) -> list[int]:
        """The row of one call."""
        value, spans = work.inputs, dict.fromkeys(self._stages, 0)
        value = self._around(work.before, value, spans)
        collections, usage = self._collections, self._usage()
        value, start, wall, busy, on_device = self._compute(work.compute, value)
        after = self._usage()
        collected = int(self._collections > collections)
        self._around(work.after, value, spans)
        row = [start - self._origin, wall, busy]
        row += [on_device] if self._on_cuda else []
        row += [after[0] - usage[0], after[1] - usage[1]] if self._counts else []
        return [*row, collected, *spans.values()]

    def _around(self, steps: Any, value: Any, spans: dict[Stage, int]) -> Any:
        for stage, step in steps.items():
            start = time.perf_counter_ns()
            value = step(value)
            self._settle()
            spans[stage] = time.perf_counter_ns() - start
        return value


def _nothing() -> None:
    """Nothing runs behind the processor's back."""


def _no_usage() -> tuple[int, int]:
    return 0, 0


def _processor(clock: Clock) -> Callable[[], int]:
    if clock != "children":
        return time.thread_time_ns if clock == "thread" else time.process_time_ns
    import resource  # not on every system

    def children() -> int:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return round((usage.ru_utime + usage.ru_stime) * 1e9)

    return children


def _on_cpu(clock: Clock) -> Callable[[Step, Any], _Timed]:
    wall_clock, cpu_clock = time.perf_counter_ns, _processor(clock)

    def compute(step: Step, value: Any) -> _Timed:
        start, busy = wall_clock(), cpu_clock()
        output = step(value)  # kept until after the clocks: freeing it is not part of the computation
        busy, end = cpu_clock() - busy, wall_clock()
        return output, start, end - start, busy, 0

    return compute


def _on_cuda(torch: Any, clock: Clock) -> Callable[[Step, Any], _Timed]:
    wall_clock, cpu_clock = time.perf_counter_ns, _processor(clock)
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def compute(step: Step, value: Any) -> _Timed:
        torch.cuda.synchronize()
        start, busy = wall_clock(), cpu_clock()
        first.record()
        output = step(value)
        last.record()
        last.synchronize()
        busy, end = cpu_clock() - busy, wall_clock()
        return output, start, end - start, busy, round(first.elapsed_time(last) * 1e6)

    return compute


def _usage(clock: Clock) -> Callable[[], tuple[int, int]]:
    """A function -> involuntary context switches and minor page faults so far."""
    import resource  # not on every system

    whose = resource.RUSAGE_THREAD if clock == "thread" else resource.RUSAGE_SELF

    def usage() -> tuple[int, int]:
        usage = resource.getrusage(whose)
        return usage.ru_nivcsw, usage.ru_minflt

    return usage
