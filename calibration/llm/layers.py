"""Layer times of LLMServingSim's profiler as the table that the engine makes its steps of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration.importers.document import Document
from calibration.importers.llmservingsim import Tables
from simulator.errors import InputError
from simulator.llm.attention import Line, between
from simulator.llm.layers import LayerTable


@dataclass(frozen=True)
class Experts:
    """Of each layer that has experts: how many there are, and how many each token takes."""

    count: int
    taken: int

    def awake(self, tokens: int) -> float:
        """How many so many tokens wake, on average, where all are as likely: real routing wakes fewer."""
        return self.count * (1 - (1 - self.taken / self.count) ** tokens)


def layer_table(meta: Path, layers: int, degree: int = 1, experts: Experts | None = None) -> LayerTable:
    """The table of one degree of tensor parallelism, from the tables beside a `meta.yaml`.

    `layers` are those of the model: the profiler times one. What GPUs tell each other is not in it. Raises InputError.
    """
    tables = Tables.beside(meta, degree)
    if tables is None:
        raise InputError(f"has no tables of tensor parallelism {degree} beside it", file=meta, fix="put them there")
    mixture = tables.experts or "moe" in Document(meta).yaml().at("architecture").text()
    if mixture and experts is None:
        fix = "say how many experts there are and how many each token takes"
        raise InputError("is of a mixture of experts", file=meta, fix=fix)
    if experts is not None and not tables.experts:
        problem = f"has no times of experts beside it for tensor parallelism {degree}"
        raise InputError(problem, file=meta, fix="put moe.csv there" if mixture else "name no experts")
    for chunk, decodes, what in ((False, True, "only decode"), (True, False, "only prefill")):
        if not any(bool(row[0]) == chunk and bool(row[2]) == decodes for row in tables.attention):
            raise InputError(f"has no attention times of steps that {what}", file=meta, fix="profile them too")
    tokens = sorted({int(place) for places, _ in tables.dense.values() for place in places})
    tokens = [count for count in tokens if count <= tables.longest()]
    sequences = sorted({int(place) for places, _ in tables.sequences.values() for place in places})
    sequences = [count for count in sequences if count <= tables.most()]
    dense = [tables.of_tokens(count, layers) for count in tokens]
    if experts is not None:
        dense = [one + layers * _expert_time(tables, experts, count) for count, one in zip(tokens, dense, strict=True)]
    attention = np.array(tables.attention, dtype=np.float64)
    attention[:, -1] *= layers
    return LayerTable(
        tokens=np.array(tokens),
        dense=np.array(dense),
        sequences=np.array(sequences),
        sampling=np.array([tables.of_sequences(count) for count in sequences]),
        attention=attention,
    )


def _expert_time(tables: Tables, experts: Experts, tokens: int) -> float:
    """Nanoseconds of the experts of a layer."""
    lines: dict[int, dict[int, float]] = {}
    for count, awake, time in tables.experts:
        lines.setdefault(count, {})[awake] = time
    return between({count: Line.of(points) for count, points in lines.items()}, tokens).at(experts.awake(tokens))
