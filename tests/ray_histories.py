"""Random histories of Ray Serve deployments, the same wherever they are played; times in milliseconds.

Needs the standard library alone: Ray plays them in an environment of its own (`ray_itself.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

POINTS = list[tuple[int, int]]
PASSES = 80
"""Of each history."""


class Report(NamedTuple):
    """What the handle tells of its look-back period: (time, value)."""

    queued: POINTS
    running: dict[str, POINTS]


class Turn(NamedTuple):
    """What there is at a pass of the control loop."""

    now: int
    running: tuple[str, ...]
    total: float
    """In flight, where that is given rather than reported."""
    report: Report | None


@dataclass
class History:
    """A deployment and what happens to it, which depends on the replicas that it asks for."""

    seed: int
    draw: Random = field(init=False)

    def __post_init__(self) -> None:
        self.draw = Random(self.seed)
        self.reported = self.seed % 3 == 0
        """Whether requests in flight are told by reports or given."""
        self.gang = self.pick([1, 1, 1, 2, 4])
        self.capacity = self.pick([None, None, None, 100.0, 50.0, 33.3, 7.0])
        self.direction = self.pick([None, "up", "down"])
        self.config = self._config()
        self.first = self.config.get("initial_replicas", self.config["min_replicas"] or self.gang)

    def pick(self, values: list[Any]) -> Any:
        return values[int(self.draw.random() * len(values))]

    def whole(self, low: int, high: int) -> int:
        """From low to high."""
        return low + int(self.draw.random() * (high - low + 1))

    def _config(self) -> dict[str, Any]:
        """By Ray's names, in seconds; targets are odd, so that no rounding decides."""
        least = self.gang * self.pick([0, 1, 1, 2])
        most = max(least, self.gang) + self.gang * self.whole(0, 8)
        interval = 50 * self.whole(10, 120)
        found: dict[str, Any] = {
            "min_replicas": least,
            "max_replicas": most,
            "target_ongoing_requests": 0.3 + self.draw.random() * 4,
            "upscale_delay_s": self.pick([0, self.whole(0, 9000), 30000]) / 1000,
            "downscale_delay_s": self.pick([0, self.whole(0, 20000), 60000]) / 1000,
            "look_back_period_s": (interval + 50 * self.whole(1, 600)) / 1000,
            "metrics_interval_s": interval / 1000,
            "aggregation_function": self.pick(["mean", "mean", "max", "min"]),
        }
        if self.draw.random() < 0.3:
            found["downscale_to_zero_delay_s"] = self.whole(0, 30000) / 1000
        if self.draw.random() < 0.3:
            found["initial_replicas"] = least + self.gang * self.whole(0, (most - least) // self.gang)
        for name in ("smoothing_factor", "upscale_smoothing_factor", "downscale_smoothing_factor"):
            if self.draw.random() < 0.2:
                found[name] = 0.1 + self.draw.random() * 2
        for name in ("upscaling_factor", "downscaling_factor"):
            if self.draw.random() < 0.3:
                found[name] = 0.1 + self.draw.random() * 2
        return found

    def play(self, decide: Callable[[Turn, int], int]) -> list[list[int]]:
        """[pass, replicas wanted] wherever that changes."""
        world = (_Told if self.reported else _Given)(self)
        target, changes = self.first, []
        for number in range(PASSES):
            found = decide(world.turn(target), target)
            if found != target:
                changes.append([number, found])
            target = found
        return changes


class _Given:
    """So many replicas run, and so much is in flight."""

    def __init__(self, history: History) -> None:
        self.of, self.total, self.names, self.made = history, 0.0, list[str](), 0
        self.now = 1_000_000 + history.pick([1, 2, 3, 4, 6, 7, 8])
        self._run(history.first)

    def turn(self, target: int) -> Turn:
        of = self.of
        self.now += of.pick([100, 100, of.whole(100, 130), of.whole(100, 3000)])
        chance = of.draw.random()
        if chance < 0.15:
            self.total = of.pick([0.0, of.draw.random() * 3, of.draw.random() * 40])
        if chance < 0.03:
            self._run(0)
        elif chance > 0.7:
            self._run(target if chance > 0.8 else of.whole(0, target + 2))
        return Turn(self.now, tuple(self.names), self.total, None)

    def _run(self, count: int) -> None:
        """So many run; the youngest leave first, and nobody comes back."""
        del self.names[count:]
        while len(self.names) < count:
            self.names.append(f"r{self.made}")
            self.made += 1


class _Told(_Given):
    """The same, with a handle that notes what it has now and then, and reports."""

    def __init__(self, history: History) -> None:
        super().__init__(history)
        config = history.config
        # Times of notes are not halves of the 10 ms to which Ray rounds, which only binary fractions would decide.
        self.look_back = round(config["look_back_period_s"] * 1000)
        self.interval = round(config["metrics_interval_s"] * 1000)
        self.often = max(1, min(self.look_back // 5, self.interval))
        self.level, self.silent = 3, 0
        self.queued: POINTS = []
        self.running: dict[str, POINTS] = {}
        self.noting, self.pushing = self.now + self.often, self.now + self.interval

    def turn(self, target: int) -> Turn:
        seen = super().turn(target)
        if self.now < self.pushing or self.now < self.silent:
            while self.pushing <= self.now:
                self.pushing += self.interval
            self.now += (self.now - self.pushing) % 10 == 0  # no pass when a delay that begins with a report ends
            return seen._replace(now=self.now)
        self.now, self.pushing = self.pushing, self.pushing + self.interval
        if self.of.draw.random() < 0.03:
            self.silent = self.now + self.of.whole(0, 30000)
        return seen._replace(now=self.now, report=self._report())

    def _report(self) -> Report:
        """Notes what there was to note, and tells all of the look-back period."""
        of = self.of
        while self.noting <= self.now:
            if of.draw.random() < 0.2:
                self.level = of.pick([0, 1, 4, 12])
            self.queued.append((self.noting, of.whole(0, self.level)))
            for name in self.names:
                self.running.setdefault(name, []).append((self.noting, of.whole(0, min(self.level, 5))))
            self.noting += self.often
        since = self.now - self.look_back
        told = {name: [point for point in points if point[0] > since] for name, points in self.running.items()}
        return Report([point for point in self.queued if point[0] > since], told)
