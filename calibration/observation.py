"""Observations: what a load test saw of a real service, as far as its file says it.

Times are whole nanoseconds, converted exactly; what the file does not say is None and is never guessed. An
observations file is JSON: a list of observations, each with the SHA-256 of the file that it came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from calibration.files import read_whole, write_whole
from simulator.component import Record, problems
from simulator.errors import InputError

LEVELS = (0.5, 0.9, 0.95, 0.99)
"""Quantiles that are taken where a file has the requests themselves."""

Count = Annotated[int, Field(ge=0, lt=2**62)]
Nanoseconds = Annotated[int, Field(ge=0, lt=2**62)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Sentence = Annotated[str, Field(min_length=1)]
Column = Annotated[tuple[Nanoseconds | None, ...], Field(strict=False)]


class Offered(Record):
    """The load that was asked for."""

    kind: Literal["open", "closed", "users"] | None = None
    """open: requests come on a schedule; closed: a client sends its next request when the last returns; users:
    clients with a pace of their own between requests."""
    rate: Amount | None = None
    """Requests a second."""
    law: str | None = None
    """Of the gaps between requests, in the tool's words."""
    clients: Annotated[int, Field(ge=1)] | None = None
    """Connections, workers or users; for an open load the most requests that may be under way."""


class Counts(Record):
    """Requests by their end."""

    sent: Count | None = None
    ok: Count | None = None
    errors: dict[str, Count] = Field(default_factory=dict)
    """By kind, in the tool's words; kinds of which there were none are left out."""


class Times(Record):
    """One duration over all requests, or its mean alone."""

    n: Count | None = None
    """How many values the figures are of."""
    mean_ns: Nanoseconds | None = None
    min_ns: Nanoseconds | None = None
    max_ns: Nanoseconds | None = None
    levels: Annotated[tuple[Share, ...], Field(strict=False)] = ()
    """Probabilities, ascending."""
    values_ns: Annotated[tuple[Nanoseconds, ...], Field(strict=False)] = ()
    """The quantile at each level."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.levels) != len(self.values_ns):
            raise ValueError(f"{len(self.levels)} levels but {len(self.values_ns)} values")
        if any(later <= earlier for earlier, later in pairwise(self.levels)):
            raise ValueError("the levels must ascend")
        if any(later < earlier for earlier, later in pairwise(self.values_ns)):
            raise ValueError("a quantile is below one of a lower level")
        return self

    @classmethod
    def told(cls, quantiles: Mapping[float, int], **figures: int | None) -> Times:
        """Quantiles by level, in whatever order, beside the other figures."""
        levels = tuple(sorted(quantiles))
        return cls(levels=levels, values_ns=tuple(quantiles[level] for level in levels), **figures)

    @classmethod
    def of(cls, values: Sequence[int]) -> Times | None:
        """The figures of nanoseconds one by one; quantiles between two of them are linear. None of none."""
        if not values:
            return None
        quantiles = np.quantile(np.array(values, dtype=np.int64), LEVELS)
        return cls(
            n=len(values),
            mean_ns=round(sum(values) / len(values)),
            min_ns=min(values),
            max_ns=max(values),
            levels=LEVELS,
            values_ns=tuple(round(float(value)) for value in quantiles),
        )

    def quantile(self, level: float) -> int | None:
        """The quantile at a level, where the file tells it."""
        return dict(zip(self.levels, self.values_ns, strict=True)).get(level)


class Sizes(Record):
    """Tokens a request."""

    n: Count | None = None
    mean: Amount | None = None
    min: Count | None = None
    max: Count | None = None
    total: Count | None = None

    @classmethod
    def of(cls, values: Sequence[int]) -> Sizes | None:
        """The figures of sizes one by one. None of none."""
        if not values:
            return None
        total = sum(values)
        return cls(n=len(values), mean=total / len(values), min=min(values), max=max(values), total=total)


class Requests(Record):
    """The requests one by one: columns of one length, in the order of the file; None where one has no such value."""

    sent_ns: Column | None = None
    """By a clock that starts when the first of them was sent, or was to be sent."""
    intended_ns: Column | None = None
    """When each was to be sent, by the same clock."""
    latency_ns: Column | None = None
    ttft_ns: Column | None = None
    input_tokens: Column | None = None
    output_tokens: Column | None = None
    status: Annotated[tuple[str, ...], Field(strict=False)] | None = None
    """In the tool's words."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        lengths = {name: len(column) for name in type(self).model_fields if (column := getattr(self, name)) is not None}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns differ in length: {lengths}")
        return self


def known(column: Sequence[int | None] | None) -> list[int]:
    """The values of a column that are there."""
    return [value for value in column or () if value is not None]


class Origin(Record):
    """Where an observation comes from."""

    tool: str
    format: str
    """The importer that read it."""
    tool_version: str | None = None
    file: str
    """Its name, without the folder."""
    sha256: str
    licence: str | None = None
    """Of the file; tools write none."""


class Observation(Record):
    """One load, and how the service fared under it."""

    name: str | None = None
    """What was called: a model, an endpoint."""
    origin: Origin
    started: str | None = None
    """As the file writes it."""
    duration_ns: Nanoseconds | None = None
    offered: Offered = Offered()
    batch: Annotated[int, Field(ge=1)] | None = None
    """Inferences a request."""
    counts: Counts = Counts()
    requests_per_s: Amount | None = None
    """Answered."""
    inferences_per_s: Amount | None = None
    output_tokens_per_s: Amount | None = None
    clock: Literal["send", "schedule", "corrected"] | None = None
    """From when latency counts. send: from when a request was really sent, so that the waiting of a client that was
    held up is left out (coordinated omission); schedule: from when it was meant to be sent; corrected: values were
    added by the tool to make up for requests that were not sent."""
    latency: Times | None = None
    ttft: Times | None = None
    """To the first token."""
    tpot: Times | None = None
    """A request's mean time between tokens after the first."""
    itl: Times | None = None
    """From token to token, each gap by itself."""
    input_tokens: Sizes | None = None
    output_tokens: Sizes | None = None
    stages: dict[str, Times] = Field(default_factory=dict)
    """Parts of the latency: send, network, queue, compute_input, compute_infer, compute_output, receive."""
    requests: Requests | None = None
    remarks: Annotated[tuple[Sentence, ...], Field(strict=False)] = ()


class Observations(Record):
    """What a file of observations holds."""

    format: Literal["observations"] = "observations"
    schema_version: Literal["1.0.0"] = "1.0.0"
    observations: Annotated[tuple[Observation, ...], Field(strict=False, min_length=1)]


def write_observations(observations: Sequence[Observation], path: Path) -> None:
    """Writes them as JSON, whole or not at all. Raises InputError."""
    content = Observations(observations=tuple(observations))
    write_whole(path, f"{content.model_dump_json(indent=1)}\n".encode())


def read_observations(path: Path) -> tuple[Observation, ...]:
    """Reads them back. Raises InputError."""
    try:
        return Observations.model_validate_json(read_whole(path, "observations file")).observations
    except ValidationError as error:
        where, problem = problems(error)[0]
        raise InputError(problem, file=path, path=where, fix="import the load test again") from None
