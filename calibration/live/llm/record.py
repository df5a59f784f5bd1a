"""The record of a real LLM engine held against the simulator, in one JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from calibration.environment import Environment, Load, Provenance
from calibration.live.llm.setup import EngineSetup
from calibration.live.record import Comparison, Grade, Run, load_as, to_judge
from simulator.component import Record


class StepFit(Record):
    """What steps take: nanoseconds for each, by what it computes."""

    fixed: float
    """Whatever it is."""
    token: float
    """For each token..."""
    sequence: float
    """...and request."""
    key: float
    """For each token that these attend to, all together..."""
    pair: float
    """...and for each pair of a token and one of these."""
    scale: float
    """How much longer by the clock on the wall, with the pauses between steps."""
    steps: int
    """From so many."""
    held_out: int
    """Steps of another load that it was tried on..."""
    mean_error: float
    """...the mean size of the errors there, step by step..."""
    total_error: float
    """...and that of all of them together, signed."""


class EngineCauses(Record):
    """What is known of an engine before it is put to the test. Nanoseconds."""

    there: int
    """From when a request is sent until an idle engine begins with it."""
    back: int
    """From the last token until the client has the answer."""
    fit: StepFit


class EngineValidation(Record):
    """A real LLM engine against the simulator."""

    format: Literal["engine-validation"] = "engine-validation"
    schema_version: Literal["1.0.0"] = "1.0.0"
    provenance: Provenance
    environment: Environment
    host: Load
    """While it lasted; what the engine and the client took counts as others' time."""
    setup: EngineSetup
    seconds: float
    warmup: float
    grade: Grade
    """Of the host: how far the steps of the same small requests moved while the validation lasted."""
    causes: EngineCauses
    capacity: float
    """Requests per second of the saturated engine..."""
    capacity_simulated: float
    """...and of the simulated one, on the same load."""
    runs: Annotated[tuple[Run, ...], Field(strict=False)]
    comparisons: Annotated[tuple[Comparison, ...], Field(strict=False)]

    def judged(self) -> list[Comparison]:
        """The comparisons that have a verdict."""
        return to_judge(self.comparisons)

    def void(self) -> bool:
        """Whether some load has no verdict because of void runs."""
        return {run.load for run in self.runs} != {one.load for one in self.comparisons}

    def holds(self) -> bool:
        """Whether nothing failed, and every load was judged."""
        return bool(self.judged()) and not self.void() and all(one.verdict != "FAIL" for one in self.judged())


def load_engine_validation(path: Path) -> EngineValidation:
    """Reads what `save_validation` wrote of an engine. Raises InputError."""
    return load_as(EngineValidation, path)
