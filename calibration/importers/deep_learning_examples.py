"""The batch latencies that NVIDIA printed for models served by Triton. Seen on the file that was gathered from it.

The figures are those of the README files of NVIDIA/DeepLearningExamples, gathered as one CSV with a row for each
batch size. Read are their offline runs, in which one client sends one batch at a time. A row gives percentiles of
the client's latency and its mean; newer ones also split the mean into network, queue and the server's compute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from calibration.importers.base import Timings
from calibration.importers.document import MILLISECOND, Document, Row
from calibration.importers.offline import LINEAR, Line, batch_profile
from calibration.profile import Profile
from calibration.records import Source
from calibration.subjects import Subject
from simulator.errors import InputError

_NEEDED = ("model", "gpu", "scenario", "backend", "client_batch", "avg_ms", "p99_ms", "source", "suspect_row")
_ABOUT = (
    "backend_accelerator",
    "precision",
    "model_format",
    "n_model_instances",
    "max_batch_size",
    "heading",
    "licence",
)
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
    LINEAR,
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


class DeepLearningExamples(Timings):
    """NVIDIA/DeepLearningExamples: batch latencies of models on Triton, gathered as one CSV."""

    kind: Literal["deep-learning-examples"] = "deep-learning-examples"

    def recognises(self, document: Document) -> bool:
        """By the columns."""
        return set(_NEEDED) <= set(document.columns)

    def read(self, document: Document) -> Sequence[Profile]:
        """The profiles of the models and GPUs above."""
        rows = document.rows((*_NEEDED, *_ABOUT))
        return [_profile(document, rows, choice, gpu) for choice in _CHOICES for gpu in choice.gpus]


def _profile(document: Document, rows: Sequence[Row], choice: _Choice, gpu: str) -> Profile:
    chosen = {
        "model": choice.model,
        "gpu": _GPUS[gpu],
        "backend": choice.backend,
        "scenario": "offline",
        "suspect_row": "0",
    }
    mine = [row for row in rows if all(row.cells[key] == value for key, value in chosen.items())]
    if not mine:
        problem = f"no row of {choice.model} on {_GPUS[gpu]}"
        raise InputError(problem, file=document.path, fix="name the whole table")
    split = all(row.find(name) for row in mine for name in _COMPUTE)
    lines = sorted((_line(row, split) for row in mine), key=lambda line: line.batch)
    batches = ", ".join(str(line.batch) for line in lines)
    between = f"Published are batches of {batches}; between them times are linear in the batch size."
    first = min(mine, key=lambda row: row.at("client_batch").count())
    return batch_profile(
        f"{choice.name}-{gpu}",
        _subject(choice, first.cells),
        _source(first),
        lines,
        (*_LIMITS, _COMPUTE_ONLY if split else _WHOLE_LATENCY, between, *choice.limits),
    )


def _line(row: Row, split: bool) -> Line:
    parts = _COMPUTE if split else ("avg_ms",)
    quantiles = {level: row.find(f"p{percent}_ms") for percent, level in ((50, 0.5), (90, 0.9), (95, 0.95), (99, 0.99))}
    return Line(
        batch=row.at("client_batch").count(),
        base_ns=sum(row.at(name).ns(MILLISECOND) for name in parts),
        mean_ns=row.at("avg_ms").ns(MILLISECOND),
        quantiles={level: cell.ns(MILLISECOND) for level, cell in quantiles.items() if cell},
    )


def _subject(choice: _Choice, row: Mapping[str, str]) -> Subject:
    return Subject(
        name=choice.name,
        origin="published",
        description=choice.description,
        inputs=choice.inputs,
        dtype="float16" if row["precision"] == "FP16" else row["precision"].lower(),
        mode=f"{row['model_format']} on Triton",
    )


def _source(row: Row) -> Source:
    first = row.cells
    accelerator = "" if first["backend_accelerator"] in ("", "-") else f" with {first['backend_accelerator']}"
    instances, largest = (str(round(row.at(key).number())) for key in ("n_model_instances", "max_batch_size"))
    return Source(
        reference=first["source"],
        licence=first["licence"],
        heading=first["heading"],
        hardware=first["gpu"],
        software=f"Triton, {first['backend']}{accelerator}, {first['precision']}, {instances} model instance, "
        f"max_batch_size {largest}",
    )
