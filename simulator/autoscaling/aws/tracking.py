"""One policy of target tracking: two alarms and a rule of three."""

from __future__ import annotations

from pydantic import Field, model_validator

from simulator.autoscaling.aws.alarm import Ask, Points, Watched, alarmed
from simulator.autoscaling.proportion import proportional
from simulator.quantities import SECOND, Duration


class Tracking(Watched):
    """Keeps one metric near its target."""

    target: float = Field(ge=1e-9, le=1e12, allow_inf_nan=False)
    """In units of the metric: 0.6 keeps replicas 60 % busy."""
    disable_scale_in: bool = False
    """It asks for more only; less is left to the other policies."""
    out_after: int = Field(3, ge=1, le=1000)
    """So many datapoints above the target ask for more (observed, not documented)."""
    out_of: int | None = Field(None, ge=1, le=1000)
    """Of the last so many; unless given, in a row."""
    in_after: int = Field(15, ge=1, le=1000)
    """So many datapoints below the low threshold ask for less (observed, not documented)."""
    in_of: int | None = Field(None, ge=1, le=1000)
    """Of the last so many; unless given, in a row."""
    low_threshold: float = Field(0.9, gt=0, le=1)
    """Share of the target below which the metric is low (assumed)."""
    out_cooldown: Duration = 300 * SECOND
    """After adding, what was added counts as there, so that only what exceeds it is added."""
    in_cooldown: Duration = 300 * SECOND
    """After removing, nothing is removed; adding ends it."""

    @model_validator(mode="after")
    def _check(self) -> Tracking:
        for after, of in (("out_after", "out_of"), ("in_after", "in_of")):
            least, among = getattr(self, after), getattr(self, of)
            if among is not None and among < least:
                raise ValueError(f"{of} {among} is below {after} {least}; raise {of}, or leave it out")
        return self

    def kept(self, interval: int) -> int:
        """How many looks it must remember."""
        most = max(self.out_of or self.out_after, self.in_of or self.in_after)
        return (most - 1) * self.stride(interval) + 1

    def ask(self, points: Points, base: int, desired: int, interval: int) -> Ask:
        """More of `base`, what is there without what was just added; less of `desired`. High comes before low."""
        value = points[-1]
        if value is None:
            return Ask(f"{self.key}: no data")
        shown, stride, low = f"{self.key} {value:.4g} against {self.target:g}", self.stride(interval), self._low
        if alarmed(points, stride, self.out_after, self.out_of or self.out_after, lambda one: one > self.target):
            return Ask(*self._wanted(shown, base, value), cooldown=self.out_cooldown)
        if alarmed(points, stride, self.in_after, self.in_of or self.in_after, lambda one: one < low):
            said, wanted = self._wanted(shown, desired, value)
            return Ask(said, down=wanted, cooldown=self.in_cooldown)
        return Ask(f"{shown}: no alarm")

    @property
    def _low(self) -> float:
        return self.low_threshold * self.target

    def _wanted(self, shown: str, replicas: int, value: float) -> tuple[str, int]:
        wanted = proportional(replicas, value, self.target)
        return f"{shown}: {replicas} x {value:.4g} / {self.target:g} needs {wanted}", wanted
