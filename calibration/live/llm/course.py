"""What became of requests on an LLM engine, real or simulated: in one form, to be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from calibration.live.client import Log
from calibration.live.course import OK, QUANTILES
from calibration.live.llm.requests import Requests
from simulator.quantities import SECOND
from simulator.streams import Floats, Integers

TIMINGS = ("ttft", "tpot", "latency")
STATISTICS = ("mean", *QUANTILES)
FIGURES = (*(f"{timing} {statistic}" for timing in TIMINGS for statistic in STATISTICS), "tokens/s", "running")
"""What is compared: milliseconds, tokens of answers per second, requests that run at a time."""
BLOCKS = 16
"""Of the counted time, of which resamples are made."""


@dataclass(frozen=True)
class EngineCourse:
    """By request; times in nanoseconds from the start of the schedule, -1 where there is none."""

    requests: Requests
    began: Integers
    """When the first step began that computed something of it."""
    first: Integers
    """When its first token was there..."""
    last: Integers
    """...and its last, at the engine."""
    done: Integers
    """When its client had the answer."""
    since: int
    """Where what is counted begins, and..."""
    until: int
    """...where the schedule ends."""
    _sorted: dict[str, tuple[Floats, Integers]] = field(init=False, default_factory=dict)

    def timing(self, name: str) -> tuple[Floats, Integers]:
        """Milliseconds, ascending, of the counted requests that have it, and the block of time in which each came."""
        if name not in self._sorted:
            arrived, more = self.requests.arrived, self.requests.output - 1
            which = (arrived >= self.since) & (self.done >= 0) & ((name != "tpot") | (more > 0))
            spent = {
                "ttft": (self.first - arrived) / 1e6,
                "tpot": (self.last - self.first) / np.maximum(more, 1) / 1e6,
                "latency": (self.done - arrived) / 1e6,
            }[name]
            order = np.flatnonzero(which)[np.argsort(spent[which], kind="stable")]
            self._sorted[name] = spent[order], self._block(arrived[order])
        return self._sorted[name]

    def alone(self) -> npt.NDArray[np.bool_]:
        """Which requests were sent when all before were answered."""
        before = np.maximum.accumulate(np.where(self.done < 0, np.iinfo(np.int64).max, self.done))
        found: npt.NDArray[np.bool_] = (self.done >= 0) & (self.requests.arrived > np.insert(before[:-1], 0, -1))
        found[:-1] &= self.requests.arrived[1:] > self.done[:-1]
        return found

    def rates(self) -> tuple[Floats, Floats]:
        """By block of time: tokens per second in answers that ended there, and requests that ran."""
        length = (self.until - self.since) / BLOCKS
        ended = (self.last >= self.since) & (self.last < self.until)
        tokens = np.bincount(self._block(self.last[ended]), self.requests.output[ended], BLOCKS)
        edges = self.since + length * np.arange(BLOCKS + 1)
        ran = self.last >= 0
        # By each edge: how long requests have run until then, all together.
        spent = np.array([np.clip(edge - self.began[ran], 0, (self.last - self.began)[ran]).sum() for edge in edges])
        return tokens / length * SECOND, np.diff(spent) / length

    def _block(self, times: Integers) -> Integers:
        share = (times - self.since) / (self.until - self.since)
        return np.minimum((share * BLOCKS).astype(np.int64), BLOCKS - 1)


def figures(courses: Sequence[EngineCourse], draws: Integers) -> dict[str, Floats]:
    """FIGURES of several courses together, one value for each row of `draws`: how often each block of each counts."""
    found = dict[str, Floats]()
    for timing in TIMINGS:
        parts = [course.timing(timing) for course in courses]
        values = np.concatenate([values for values, _ in parts])
        blocks = np.concatenate([blocks + BLOCKS * number for number, (_, blocks) in enumerate(parts)])
        order = np.argsort(values, kind="stable")
        statistics = _statistics(values[order], draws[:, blocks[order]])
        found |= {f"{timing} {name}": row for name, row in statistics.items()}
    tokens, ran = (np.concatenate(rows) for rows in zip(*(course.rates() for course in courses), strict=True))
    return found | {name: draws @ rows / draws.sum(axis=1) for name, rows in (("tokens/s", tokens), ("running", ran))}


def _statistics(values: Floats, weights: Integers) -> dict[str, Floats]:
    """Of ascending values, one for each row of weights."""
    if not len(values):
        return dict.fromkeys(STATISTICS, np.full(len(weights), np.nan))
    total = np.cumsum(weights, axis=1)
    found = {"mean": weights @ values / total[:, -1]}
    for name, level in QUANTILES.items():
        places = [np.searchsorted(row, level * row[-1]) for row in total]
        found[name] = values[places]
    return found


def measured(requests: Requests, log: Log, told: list[list[Any]], since: int, until: int) -> EngineCourse:
    """The course of a real run: the client's log, and what the engine tells of its requests."""
    columns = np.full((3, len(requests.arrived)), -1, dtype=np.int64)
    for number, _, stamps in told:
        if number >= 0 and len(stamps) == requests.output[number] + 1:
            columns[:, number] = np.array([stamps[0], stamps[1], stamps[-1]]) - log.origin
    answered = (log["status"] == OK) & (columns[1] >= 0)
    began, first, last, done = (np.where(answered, row, -1) for row in (*columns, log["done"]))
    return EngineCourse(requests, began, first, last, done, since, until)
