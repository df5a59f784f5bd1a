"""Layer times of vLLM as LLMServingSim's profiler writes them. Seen on genuine files of profiler 1.0.

`meta.yaml` is named, and the tables of each degree of tensor parallelism lie in folders tp1, tp2 ... beside it, or
beside it under the same name with tp1__ and so on in place of meta.yaml. Times are microseconds, of one layer.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from calibration.importers.base import Timings
from calibration.importers.document import MICROSECOND, Document, Node
from calibration.importers.steps import step_profile
from calibration.llm.step import Step
from calibration.profile import Profile
from calibration.records import Source
from calibration.subjects import Subject
from simulator.errors import InputError
from simulator.streams import Floats

_ATTENTION = ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us")
_EXPERTS = ("tokens", "activated_experts", "time_us")
_TWICE = ("layernorm",)
"""Layers of which every block of the model has two."""
_ONCE = ("embedding", "final_layernorm")
_LIMITS = (
    "Figures of the source, not measured again: layers timed one by one and added up, two norms a layer; what the host "
    "does between steps is not in them.",
    "The source gives means of a few calls: nothing is known of jitter.",
    "In scenarios the service llm_layers reads the tables themselves, which is closer than one law through all steps.",
    "One prompt a step, and decoding sequences of equal context; tokens before a prompt's chunk are in the fit, and "
    "have no axis.",
)
_SHARDS = "The layers are those of one GPU of {}: what the GPUs tell each other between layers is not in the times."


class LlmServingSim(Timings):
    """LLMServingSim: per-layer times of vLLM (meta.yaml and its tables), added up to steps of the engine."""

    kind: Literal["llmservingsim"] = "llmservingsim"
    layers: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Of the model: the profiler times one, and does not write how many there are."""

    def recognises(self, document: Document) -> bool:
        """By the names in meta.yaml."""
        return all(
            f"\n{name}:" in f"\n{document.text}" for name in ("profiler_version", "tp_degrees", "attention_grid")
        )

    def read(self, document: Document) -> Sequence[Profile]:
        """One profile of LLM steps for each degree of tensor parallelism whose tables are there."""
        meta = document.yaml()
        if self.layers is None:
            fix = "give --layers, such as 32 for Llama 3.1 8B"
            raise InputError("does not tell how many layers the model has", file=document.path, fix=fix)
        degrees = [degree.count() for degree in meta.at("tp_degrees").items()]
        files = [(_file(document.path, degree, "dense"), _file(document.path, degree, "moe")) for degree in degrees]
        if any(dense.exists() and experts.exists() for dense, experts in files):
            fix = "the experts that a step wakes depend on the routing; take a dense model"
            raise InputError("is of a mixture of experts, which is not read", file=document.path, fix=fix)
        found = {degree: Tables.beside(document.path, degree) for degree in degrees}
        tables = {degree: table for degree, table in found.items() if table is not None}
        if not tables:
            wanted = _file(document.path, degrees[0] if degrees else 1, "dense")
            raise InputError("has no tables beside it", file=document.path, fix=f"put them there, such as {wanted}")
        return [_profile(document, meta, degree, table, self.layers) for degree, table in tables.items()]


def _file(meta: Path, degree: int, table: str) -> Path:
    """Where a table lies: in a folder of its degree, or beside under a longer name."""
    prefix, separator, _ = meta.name.rpartition("meta.yaml")
    if prefix and separator:
        return meta.with_name(f"{prefix}tp{degree}__{table}.csv")
    return meta.parent / f"tp{degree}" / f"{table}.csv"


@dataclass(frozen=True)
class Tables:
    """Nanoseconds by layer along tokens or sequences, of attention by its four sizes, and of experts by their two."""

    dense: Mapping[str, tuple[Floats, Floats]]
    sequences: Mapping[str, tuple[Floats, Floats]]
    attention: Sequence[tuple[int, int, int, int, int]]
    experts: Sequence[tuple[int, int, int]]
    """Tokens, experts that they wake, and the time; none of a dense model."""

    @classmethod
    def beside(cls, meta: Path, degree: int) -> Tables | None:
        """The tables of a degree, or None where they are not there. Raises InputError."""
        if not _file(meta, degree, "dense").exists():
            return None
        experts = _file(meta, degree, "moe")
        return cls(
            dense=_layers(_file(meta, degree, "dense"), "tokens"),
            sequences=_layers(_file(meta, degree, "per_sequence"), "sequences"),
            attention=_sized(_file(meta, degree, "attention"), _ATTENTION),  # type: ignore[arg-type]
            experts=_sized(experts, _EXPERTS) if experts.exists() else [],  # type: ignore[arg-type]
        )

    def longest(self) -> int:
        """The most tokens that every dense layer was timed at."""
        return int(min(tokens[-1] for tokens, _ in self.dense.values()))

    def most(self) -> int:
        """The most sequences that head and sampler were timed at."""
        return int(min(count[-1] for count, _ in self.sequences.values()))

    def of_tokens(self, tokens: int, layers: int) -> float:
        """Nanoseconds of a step of that many tokens, besides attention, experts, and what depends on the sequences."""
        dense = {name: float(np.interp(tokens, *table)) for name, table in self.dense.items()}
        once = sum(dense.pop(name, 0.0) for name in _ONCE)
        return layers * sum(time * (2 if name in _TWICE else 1) for name, time in dense.items()) + once

    def of_sequences(self, sequences: int) -> float:
        """Nanoseconds of what each of that many sequences gives one token to."""
        return sum(float(np.interp(sequences, *table)) for table in self.sequences.values())


def _sized(path: Path, columns: Sequence[str]) -> list[tuple[int, ...]]:
    """The rows of a table, sizes and then the time in nanoseconds."""
    rows = Document(path).rows(columns)
    return [(*(row.at(name).count() for name in columns[:-1]), row.at(columns[-1]).ns(MICROSECOND)) for row in rows]


def _layers(path: Path, along: str) -> dict[str, tuple[Floats, Floats]]:
    points: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row in Document(path).rows(("layer", along, "time_us")):
        points[row.at("layer").text()].append((row.at(along).count(), row.at("time_us").ns(MICROSECOND)))
    tables = {}
    for name, pairs in points.items():
        places, times = zip(*sorted(pairs), strict=True)
        tables[name] = (np.array(places, dtype=np.float64), np.array(times, dtype=np.float64))
    return tables


def _profile(document: Document, meta: Node, degree: int, tables: Tables, layers: int) -> Profile:
    model, hardware = meta.at("model").text(), meta.at("hardware").text()
    steps = list(_steps(tables, layers))
    if not steps:
        raise InputError("has no attention times within the tables of the other layers", file=document.path)
    return step_profile(
        f"{model.rsplit('/', 1)[-1]}-{hardware}-tp{degree}",
        Subject(
            name=model,
            origin="published",
            description=f"a large language model of {layers} layers",
            inputs="tokens",
            dtype=meta.at("variant").text(),
            mode=f"vLLM {meta.at('vllm_version').text()}, tensor parallel {degree}",
        ),
        Source(
            reference=f"{document.path.name}, {document.sha256}",
            licence="not told by the file",
            heading=f"LLMServingSim profiler {meta.at('profiler_version').text()}, {meta.at('profiled_at').text()}",
            hardware=meta.at("gpu").text(),
            software=f"vLLM {meta.at('vllm_version').text()}, CUDA {meta.at('cuda_version').text()}",
        ),
        steps,
        (*_LIMITS, *([_SHARDS.format(degree)] if degree > 1 else [])),
    )


def _steps(tables: Tables, layers: int) -> Iterator[Step]:
    """The step of each line of attention that is no larger than what the other layers were timed at."""
    of_tokens, of_sequences = functools.cache(tables.of_tokens), functools.cache(tables.of_sequences)
    for chunk, before, decode, context, attention in tables.attention:
        tokens, sequences = chunk + decode, decode + bool(chunk)
        if 0 < tokens <= tables.longest() and sequences <= tables.most():
            time = round(of_tokens(tokens, layers) + of_sequences(sequences) + layers * attention)
            yield Step(chunk, decode, context, chunk * before + chunk**2 // 2, time, before == 0)
