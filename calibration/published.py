"""Profiles from published figures: the batch latencies that NVIDIA printed for models served by Triton.

The figures are those of the README files of NVIDIA/DeepLearningExamples, gathered as one CSV with a row for each
batch size. Read are their offline runs, in which one client sends one batch at a time. A row gives percentiles of
the client's latency and its mean; newer ones also split the mean into network, queue and the server's compute.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from calibration.files import read_whole
from calibration.profile import Profile, in_words
from calibration.records import Base, Cell, Fit, Jitter, Quantiles, Source
from calibration.subjects import Subject
from simulator.errors import InputError

Row = dict[str, str]

RECIPE = "published mean and percentiles, version 1"
_COMPUTE = ("server_compute_input_ms", "server_compute_infer_ms", "server_compute_output_ms")
_GPUS = {
    "t4": "NVIDIA T4",
    "v100": "NVIDIA DGX-1 (1x V100 32GB)",
    "a40": "NVIDIA A40",
    "a100": "NVIDIA DGX A100 (1x A100 80GB)",
}


@dataclass(frozen=True)
class _Choice:
    """Which rows make a profile."""

    name: str
    model: str
    backend: str
    description: str
    inputs: str
    gpus: tuple[str, ...]
    limits: tuple[str, ...] = ()


_CHOICES = (
    _Choice(
        "resnet50",
        "PyTorch/Classification/ConvNets/resnet50",
        "ONNX Runtime",
        "ResNet-50 v1.5, image classification",
        "nx3x224x224",
        ("t4", "v100", "a40", "a100"),
        (
            "Moving the images weighs heavily: on the V100 the source's online run, with two instances and "
            "transfers beside the compute, served up to 3558 images/s, where these times allow 2045.",
        ),
    ),
    _Choice(
        "bert-large",
        "PyTorch/LanguageModeling/BERT/large",
        "NVIDIA TensorRT",
        "BERT large, question answering",
        "nx384",
        ("t4", "v100", "a100"),
    ),
)

_LIMITS = (
    "Figures of the source, not measured again.",
    "Only the quantiles in fit.jitter are published, without the one at level 0: between them the distribution is "
    "taken to be linear, and the quantile at 0 is chosen so that the mean is the published one (as far as the "
    "rounding of the source allows). Nothing is known beyond p99, where the jitter stays.",
)
_WHOLE_LATENCY = (
    "Times are the latency seen by a client that sends one batch at a time (batch over throughput is the mean "
    "latency). The source does not split it, so sending the inputs and the server's overhead are in it: the "
    "compute itself is shorter, by how much is not published."
)
_COMPUTE_ONLY = (
    "The base is the server's mean compute time (input, inference and output), without network and queue; its "
    "jitter is that of the client's latency, percentiles over mean. The source rounds to 0.1 ms."
)


def published_profiles(file: Path) -> list[Profile]:
    """The profiles of the models and GPUs above, from the CSV of the figures. Raises InputError."""
    rows = _read(file)
    with in_words(file):
        return [_profile(rows, choice, gpu, file) for choice in _CHOICES for gpu in choice.gpus]


def _read(file: Path) -> list[Row]:
    try:
        text = read_whole(file, "table of published figures").decode()
    except UnicodeDecodeError:
        raise InputError("is not text", file=file, fix="name a CSV file") from None
    rows = list(csv.DictReader(text.splitlines()))
    needed = {"model", "gpu", "scenario", "backend", "client_batch", "avg_ms", "p99_ms", "source", "suspect_row"}
    if absent := sorted(needed - set(rows[0] if rows else ())):
        raise InputError(f"column {absent[0]} is missing", file=file, fix="name the CSV of batch latencies")
    return rows


def _profile(rows: list[Row], choice: _Choice, gpu: str, file: Path) -> Profile:
    chosen = {
        "model": choice.model,
        "gpu": _GPUS[gpu],
        "backend": choice.backend,
        "scenario": "offline",
        "suspect_row": "0",
    }
    mine = [row for row in rows if all(row[key] == value for key, value in chosen.items())]
    if not mine:
        raise InputError(f"no row of {choice.model} on {_GPUS[gpu]}", file=file, fix="name the whole table")
    mine.sort(key=lambda row: _number(row, "client_batch", file))
    split = all(row[name] for row in mine for name in _COMPUTE)
    levels, ratios = _jitter(mine, file)
    cells = tuple(_cell(row, split, file) for row in mine)
    batches = ", ".join(str(cell.at["batch"]) for cell in cells)
    between = f"Published are batches of {batches}; between them times are linear in the batch size."
    return Profile.build(
        name=f"{choice.name}-{gpu}",
        level="published",
        subject=_subject(choice, mine[0]),
        source=_source(mine),
        cells=cells,
        fit=Fit(
            recipe=RECIPE,
            clock="published",
            base=Base(form="table"),
            jitter=Jitter(levels=levels, ratios=ratios),
        ),
        limits=(*_LIMITS, _COMPUTE_ONLY if split else _WHOLE_LATENCY, between, *choice.limits),
    )


def _number(row: Row, column: str, file: Path) -> float:
    try:
        return float(row[column])
    except ValueError:
        problem = f"{row[column]!r} of {row['source']} is not a number"
        raise InputError(problem, file=file, path=column, fix="correct the row") from None


def _cell(row: Row, split: bool, file: Path) -> Cell:
    base = sum(_number(row, name, file) for name in _COMPUTE) if split else _number(row, "avg_ms", file)
    known = [name for name in ("p50", "p95", "p99") if row[f"{name}_ms"]]
    client = {name: round(_number(row, f"{name}_ms", file) * 1e6) for name in known}
    return Cell(
        at={"batch": int(_number(row, "client_batch", file))},
        base_ns=round(base * 1e6),
        wall_ns=Quantiles(**client),
    )


def _jitter(rows: Sequence[Row], file: Path) -> tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]:
    """Levels, and for each row the quantiles over the mean; the mean of the whole is 1."""
    known = {0.5: "p50_ms", 0.9: "p90_ms", 0.95: "p95_ms", 0.99: "p99_ms"}
    known = {level: column for level, column in known.items() if all(row[column] for row in rows)}
    levels = (0.0, *known)
    table = []
    for row in rows:
        mean = _number(row, "avg_ms", file)
        upper = [_number(row, column, file) / mean for column in known.values()]
        table.append(tuple(round(ratio, 6) for ratio in (_lowest(levels, upper), *upper)))
    return levels, tuple(table)


def _lowest(levels: Sequence[float], upper: Sequence[float]) -> float:
    """The quantile at level 0 that makes the mean 1, where that leaves it positive and below the next."""
    pieces = zip(levels[1:], levels[2:], upper, upper[1:], strict=False)
    above = sum((high - low) * (left + right) / 2 for low, high, left, right in pieces)
    above += (1 - levels[-1]) * upper[-1]
    wanted = 2 * (1 - above) / levels[1] - upper[0]
    return min(max(wanted, 0.01 * upper[0]), upper[0])


def _subject(choice: _Choice, row: Row) -> Subject:
    return Subject(
        name=choice.name,
        origin="published",
        description=choice.description,
        inputs=choice.inputs,
        dtype="float16" if row["precision"] == "FP16" else row["precision"].lower(),
        mode=f"{row['model_format']} on Triton",
    )


def _source(rows: Sequence[Row]) -> Source:
    first = rows[0]
    accelerator = "" if first["backend_accelerator"] in ("", "-") else f" with {first['backend_accelerator']}"
    instances, largest = (str(round(float(first[key]))) for key in ("n_model_instances", "max_batch_size"))
    return Source(
        reference=first["source"],
        licence=first["licence"],
        heading=first["heading"],
        hardware=first["gpu"],
        software=f"Triton, {first['backend']}{accelerator}, {first['precision']}, {instances} model instance, "
        f"max_batch_size {largest}",
    )
