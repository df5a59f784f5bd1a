"""An autoscaler as it is deployed: in a manifest beside the scenario."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from simulator.autoscaling.base import Autoscaler, Decision, Observation
from simulator.quantities import SECOND
from simulator.sources import Sources


class Manifest(Autoscaler):
    """That of a manifest file, such as a HorizontalPodAutoscaler."""

    kind: Literal["manifest"] = "manifest"
    file: str = Field(min_length=1)
    """YAML or JSON, or a folder of such files, beside the scenario."""
    name: str | None = None
    """Which of the autoscalers in it, if there are several."""
    bind: dict[str, str] = Field(default_factory=dict, max_length=64)
    """By the name of a metric: the signal that it is, such as `queue` or `utilisation*100 over 1m mean`."""

    def resolve(self, sources: Sources) -> Autoscaler:
        """The autoscaler by value. Raises InputError."""
        return sources.autoscaler(self)

    def period(self) -> int:
        """It decides now and then: how often, the file says."""
        return SECOND

    def bounds(self, replicas: int) -> tuple[int, int]:
        """Whatever the file says."""
        return 0, 100_000

    def decide(self, state: Any, observation: Observation, now: int) -> Decision:
        """Never asked: it is resolved before a run."""
        raise NotImplementedError
