"""The choice `predictive`: replicas for the upper end of a forecast."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import Field, model_validator

from simulator.autoscaling.base import Autoscaler, Decision, Limit, Observation
from simulator.autoscaling.metric import Metric
from simulator.autoscaling.predictive.forecast import forecast, quantile
from simulator.autoscaling.proportion import proportional
from simulator.quantities import SECOND, Duration, PositiveDuration, format_duration

MOST_ERRORS = 240
"""So many of the last errors tell how far forecasts err."""
MOST_LOOKS = 20_000
MOST = 1e15
"""More than any load."""


@dataclass(frozen=True, slots=True)
class State:
    """What was seen and foretold; the last is the latest."""

    points: tuple[float | None, ...] = ()
    made: tuple[float | None, ...] = ()
    """Forecasts whose moment has not come."""
    errors: tuple[float, ...] = ()
    """What came less what was foretold."""
    wanted: tuple[int, ...] = ()
    """Replicas that forecasts asked for, as long as they are kept."""


class Predictive(Autoscaler):
    """Forecasts the load, with an interval, and has replicas ready for its upper end."""

    kind: Literal["predictive"] = "predictive"
    target: float = Field(ge=1e-9, le=1e12, allow_inf_nan=False)
    """What a replica is to bear of the metric, such as requests per second."""
    metric: Metric = Metric.model_construct(signal="arrival_rate", scrape=15 * SECOND)
    """The load of the whole pool; unless its window is given, as the mean (or the rate) over an interval."""
    min_replicas: int = Field(1, ge=0, le=100_000)
    """No fewer are wanted."""
    max_replicas: int = Field(ge=1, le=100_000)
    """No more are wanted."""
    interval: PositiveDuration = 60 * SECOND
    """Between two looks."""
    ahead: PositiveDuration = 300 * SECOND
    """How far it looks ahead: at least as long as a replica takes to start, and an interval more."""
    window: PositiveDuration = 900 * SECOND
    """The trend is that of so long."""
    season: PositiveDuration | None = None
    """The load repeats itself after so long, such as 24h; until so much was seen, the trend counts."""
    level: float = Field(0.95, ge=0.5, lt=1)
    """Share of past errors that the upper end of a forecast covers."""
    keep: Duration = 0
    """Replicas are kept until the moment for which they were foretold, and so long after it."""

    @model_validator(mode="after")
    def _check(self) -> Predictive:
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas {self.max_replicas} is below min_replicas {self.min_replicas}")
        if self.window < 2 * self.interval:
            raise ValueError("window holds no trend; make it at least two intervals")
        if self.season is not None and self.season < max(self.ahead, self.window):
            longer = "ahead" if self.ahead > self.window else "window"
            raise ValueError(f"season is shorter than {longer}; leave it out, or make it longer")
        if max(self.ahead, self.window, self.season or 0, self.keep) // self.interval > MOST_LOOKS:
            raise ValueError(f"times of more than {MOST_LOOKS:,} intervals are too long; make the interval longer")
        return self

    def _looks(self, time: int) -> int:
        """How many intervals a time takes, whole ones."""
        return -(-time // self.interval)

    def period(self) -> int:
        """How often it looks."""
        return self.interval

    def reads(self) -> dict[str, Metric]:
        """The load."""
        return {self.metric.signal: self.metric.looked_at(self.interval, self.interval)}

    def initial(self) -> State:
        """Nothing seen."""
        return State()

    def bounds(self, replicas: int) -> tuple[int, int]:
        """The configured bounds."""
        return self.min_replicas, self.max_replicas

    def decide(self, state: Any, observation: Observation, now: int) -> Decision:
        """Learns how far off an old forecast was, makes a new one, and takes its upper end or the present load."""
        found = observation.signals.get(self.metric.signal)
        value = None if found is None else min(max(found, 0.0), MOST)
        state, low, middle, high = self._foretell(state, value)
        if value is None or middle is None:
            desired = min(max(observation.desired, self.min_replicas), self.max_replicas)
            return Decision(state, desired, f"{self.metric.signal}: no data", limits=("missing metrics",))
        asked = proportional(1, max(high, value), self.target)
        state = replace(state, wanted=(*state.wanted, asked)[-(self._looks(self.ahead) + self._looks(self.keep)) :])
        kept = max(state.wanted)
        said = (
            f"{self.metric.signal} is {value:.4g}, in {format_duration(self.ahead)} {middle:.4g} "
            f"({low:.4g} to {high:.4g}): {asked} at {self.target:g} each"
        )
        if kept > asked:
            said += f"; {kept} foretold before are kept"
        desired = min(max(kept, self.min_replicas), self.max_replicas)
        limits: list[Limit] = ["stabilisation"] if kept > asked else []
        limits += ["max"] if desired < kept else ["min"] if desired > kept else []
        return Decision(state, desired, said, asked, tuple(limits))

    def _foretell(self, state: State, value: float | None) -> tuple[State, float, float | None, float]:
        """The state with what was learnt; a new forecast between its lower and upper end."""
        ahead, window = self._looks(self.ahead), self._looks(self.window)
        season = None if self.season is None else self._looks(self.season)
        points = (*state.points, value)[-(window + (season or 0)) :]
        due = state.made[0] if len(state.made) == ahead else None
        errors = state.errors
        if due is not None and value is not None:
            errors = (*errors, value - due)[-MOST_ERRORS:]
        middle = forecast(points, window, ahead, season)
        state = replace(state, points=points, made=(*state.made, middle)[-ahead:], errors=errors)
        if middle is None:
            return state, 0.0, None, 0.0
        low, high = (max(middle + quantile(errors, level), 0.0) for level in (1 - self.level, self.level))
        return state, low, middle, high
