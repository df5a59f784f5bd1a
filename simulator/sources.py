"""What a scenario refers to by name, as the engine asks for it. The scenarios room reads the files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from simulator.arrays import Chains
from simulator.streams import Integers

if TYPE_CHECKING:
    from simulator.autoscaling import Autoscaler, Manifest
    from simulator.llm.service import LlmLayers
    from simulator.service import Law, Profile
    from simulator.speed import Profiled, SpeedLaw


Only = tuple[tuple[str, str], ...]
"""Columns of a trace, each with the value that is asked for."""


@dataclass(frozen=True)
class Recorded:
    """The requests of a trace, ascending by time."""

    times: Integers
    """Arrival stamps in nanoseconds from the first of the file."""
    sizes: dict[str, Integers] = field(default_factory=dict)
    """What the trace says of each request's size: `input_tokens`, `output_tokens`, `bytes`."""
    interval: int = 0
    """Nanoseconds within which the trace does not say when a request came: of counts, their interval."""
    hashes: Chains | None = None
    """Of each request's prompt, the hashes of its blocks."""
    sessions: Integers | None = None
    """The session of each request, by any number of its own."""
    first: int | None = None
    """Nanoseconds since 1970, UTC, of the first stamp; None where the trace has no dates."""


class Sources(Protocol):
    """Where names become values; every method raises InputError for a name it does not know."""

    def trace(
        self,
        file: str,
        format: str,  # noqa: A002 - the word users write
        column: str | None = None,
        only: Only = (),
        session: str | None = None,
    ) -> Recorded:
        """The requests of a trace file; `column` holds the stamps, `session` the sessions, `only` who is asked for."""

    def profile(self, service: Profile) -> Law:
        """Service times of a calibrated profile, for what the batches and requests at hand ask of it."""

    def layers(self, service: LlmLayers) -> Law:
        """Steps of an LLM engine whose layers were measured."""

    def autoscaler(self, manifest: Manifest) -> Autoscaler:
        """The autoscaler of a manifest."""

    def interference(self, speed: Profiled) -> SpeedLaw:
        """The speed of the host that a profile was measured on."""
