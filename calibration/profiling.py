"""A pass of the PyTorch Profiler over a few calls of a torch model, apart from all timing.

Each call is marked as a whole (`batch 8`) and by stage: load (making the inputs on the host), to_device, compute,
from_device; the moves only where there is a device besides the host.
"""

from __future__ import annotations

import gzip
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Literal

from calibration.bottleneck import BatchTimes, Bottleneck, TraceFile
from calibration.breakdown import BATCH, batches_of
from calibration.environment import environment, now, provenance
from calibration.subjects import Model, load_subject, load_torch, need_cuda
from calibration.traces import parse_trace, trace_document
from simulator.errors import InputError, MeasurementError, first_line

BATCHES = (1, 8)
CALLS = 5
_WARM = 5

_LIMITS = (
    "The times are those while recording, which makes every operator slower: read shares, not service times.",
    "FLOP are of the operators that the profiler has a formula for, so FLOP/s are a lower bound.",
    "Loading is the making of the example inputs; a service may load from elsewhere.",
)
_QUIET = {"KINETO_LOG_LEVEL": "99", "TORCH_CPP_LOG_LEVEL": "ERROR"}
"""Or the profiler reports each of its steps on stderr."""
_HOST_FACTS = ("host_name", "traceName", "trace_id")
"""What torch writes into a trace that names a machine or a path."""


def profile_model(
    subject: str,
    *,
    batches: Sequence[int] = BATCHES,
    calls: int = CALLS,
    threads: int = 1,
    seed: int = 1,
    device: Literal["cpu", "cuda", "auto"] = "cpu",
    input_shape: tuple[int, ...] | None = None,
    name: str | None = None,
    command: str = "",
) -> tuple[Bottleneck, bytes]:
    """Where a model's time goes here (see `calibration.subjects`), and the trace of it, compressed.

    The record names the trace NAME.trace.json.gz. Raises InputError and MeasurementError.
    """
    _check(batches, calls, threads)
    for variable, level in _QUIET.items():
        os.environ.setdefault(variable, level)
    torch = load_torch()
    if device == "cuda":
        need_cuda(torch)
    where: Literal["cpu", "cuda"] = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    called = name or subject.replace(":", ".")
    record = provenance(command)
    with _using(torch, threads), torch.inference_mode():
        model = load_subject(subject, seed=seed, device=where, shape=input_shape)
        source = model if where == "cpu" else load_subject(subject, seed=seed, device="cpu", shape=input_shape)
        call = _caller(torch, model, source, where)
        unrecorded = {batch: _warm(call, model, batch) for batch in sorted(batches)}
        raw, busy, flops = _record(torch, call, sorted(batches), calls, where)
        facts = environment(where, threads, torch)
    trace = parse_trace(raw, Path(f"{called}.trace.json.gz"))
    found = Bottleneck(
        name=called,
        subject=model.facts,
        environment=facts,
        provenance=record.model_copy(update={"finished_utc": now()}),
        device=facts.gpu.name if facts.gpu else None,
        trace=TraceFile(file=trace.file, sha256=trace.sha256),
        batches=tuple(
            _completed(item, unrecorded[item.batch or 0], busy[item.batch or 0], threads, flops[item.batch or 0])
            for item in batches_of(trace)
        ),
        limits=_LIMITS,
    )
    return found, raw


def _check(batches: Sequence[int], calls: int, threads: int) -> None:
    if not batches or min(batches) < 1 or max(batches) > 65536 or len(set(batches)) < len(batches):
        listed = ",".join(str(batch) for batch in batches)
        fix = "name different sizes from 1 to 65536"
        raise InputError(f"{listed!r} are not batch sizes to profile", path="--batches", fix=fix)
    for option, value, largest in (("--calls", calls, 1000), ("--threads", threads, 1024)):
        if not 1 <= value <= largest:
            raise InputError(f"{value} is out of range", path=option, fix=f"choose 1 to {largest}")


@contextmanager
def _using(torch: Any, threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _caller(torch: Any, model: Model, source: Model, where: str) -> Callable[[int], None]:
    """A function that makes one marked call at a batch size, from inputs made on the host to outputs ready there."""
    mark = torch.profiler.record_function

    def on_cpu(batch: int) -> None:
        with mark(BATCH.format(batch)):
            with mark("load"):
                inputs = source.inputs(batch)
            with mark("compute"):
                output = model.module(*inputs)
            del inputs, output

    def on_cuda(batch: int) -> None:
        with mark(BATCH.format(batch)):
            with mark("load"):
                inputs = source.inputs(batch)
            with mark("to_device"):
                inputs = _moved(torch, inputs, where)
                torch.cuda.synchronize()
            with mark("compute"):
                output = model.module(*inputs)
                torch.cuda.synchronize()
            with mark("from_device"):
                output = _moved(torch, output, "cpu")
            del inputs, output

    return on_cpu if where == "cpu" else on_cuda


def _moved(torch: Any, value: Any, where: str) -> Any:
    """The tensors of a value, whatever holds them, on a device."""
    if isinstance(value, torch.Tensor):
        return value.to(where)
    if isinstance(value, dict):
        return {key: _moved(torch, item, where) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_moved(torch, item, where) for item in value)
    return value


def _warm(call: Callable[[int], None], model: Model, batch: int) -> int:
    """Median wall time of unrecorded calls, the first left out."""
    walls = []
    for _ in range(_WARM):
        start = time.perf_counter_ns()
        try:
            call(batch)
        except InputError:
            raise
        except Exception as error:
            said = first_line(error)
            raise MeasurementError(
                f"{model.facts.name} failed on a batch of {batch}: {type(error).__name__}: {said}"
            ) from error
        walls.append(time.perf_counter_ns() - start)
    return round(median(walls[1:]))


_Flops = dict[str, int]


def _record(
    torch: Any, call: Callable[[int], None], batches: list[int], calls: int, where: str
) -> tuple[bytes, dict[int, float], dict[int, _Flops]]:
    """The trace, and by batch size the mean processor time of a call and the FLOP of its operators, all calls."""
    profiler = torch.profiler
    activities = [profiler.ProfilerActivity.CPU]
    activities += [profiler.ProfilerActivity.CUDA] if where == "cuda" else []
    busy: dict[int, float] = defaultdict(float)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        with profiler.profile(
            activities=activities,
            schedule=profiler.schedule(wait=0, warmup=len(batches), active=calls * len(batches), repeat=1),
            on_trace_ready=lambda recorder: recorder.export_chrome_trace(str(path)),
            record_shapes=True,
            profile_memory=True,
            with_flops=True,
            acc_events=True,
        ) as recorder:
            for number in range(-1, calls):
                for batch in batches:
                    start = time.process_time_ns()
                    call(batch)
                    busy[batch] += (time.process_time_ns() - start) / calls if number >= 0 else 0
                    recorder.step()
        document = trace_document(path.read_bytes(), path)
    for fact in _HOST_FACTS:
        document.pop(fact, None)
    raw = gzip.compress(json.dumps(document, separators=(",", ":")).encode(), mtime=0)
    return raw, busy, _flops(recorder.events())


def _flops(events: Any) -> dict[int, _Flops]:
    found: dict[int, _Flops] = defaultdict(lambda: defaultdict(int))
    for event in events:
        around = event
        while event.flops and around is not None:
            first, _, number = around.name.partition(" ")
            if first == "batch" and number.isdecimal():
                found[int(number)][event.name] += event.flops
                break
            around = around.cpu_parent
    return found


def _completed(item: BatchTimes, unrecorded: int, busy: float, threads: int, flops: _Flops) -> BatchTimes:
    """With what the trace does not tell."""
    compute = item.stages_ns.get("compute", 0)
    rate = sum(flops.values()) / item.calls / compute * 1e9 if flops and compute else None
    operators = tuple(row.model_copy(update={"flops": flops.get(row.name)}) for row in item.operators)
    share = min(1.0, busy / max(1, item.wall_ns) / threads)
    return item.model_copy(
        update={
            "unrecorded_ns": unrecorded,
            "cpu_share": share,
            "flops_per_s": rate,
            "operators": operators,
        }
    )
