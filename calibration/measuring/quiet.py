"""How quiet the host is: the same work timed under two labels in turn, which must come out the same."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from pydantic import Field
from scipy import stats

from calibration.environment import Grade, Load
from calibration.fitting.dependence import autocorrelation_time
from calibration.measuring.probes import Prober, load
from simulator.component import Record
from simulator.errors import InputError
from simulator.streams import Integers

SECONDS = 20.0
SHORT_SECONDS = 3.0
"""Before each measurement."""
_SIZE = 60_000
_PARTS = 20


class Quiet(Record):
    """What was seen of a host, and its grade."""

    grade: Grade
    reason: str
    """In a sentence."""
    seconds: float
    calls: int = Field(ge=1)
    """Under each label."""
    variation: float
    """Standard deviation over mean of the calls, by the wall clock."""
    processor_variation: float
    """The same by the clock of the thread."""
    memory: float
    """Integrated autocorrelation time, in calls: so many are worth one independent one."""
    cpu_over_wall: float
    """Processor time over wall time of the median call; 1 when undisturbed."""
    steal_share: float | None
    others_share: float | None
    same: float
    """Median under one label over that under the other, the larger over the smaller, by the wall clock."""
    same_low: float
    """95 % interval of the first over the second, from parts of the probe."""
    same_high: float
    processor_same: float
    """As `same`, by the clock of the thread."""


_ANY = float("inf")
_LIMITS: tuple[tuple[str, str, Callable[[Quiet], float], tuple[float, float, float]], ...] = (
    ("calls vary by {:.1%}", "{:.0%}", lambda seen: seen.variation, (0.02, 0.10, _ANY)),
    ("one call tells of the next {:.0f}", "{:.0f}", lambda seen: seen.memory, (5, 25, _ANY)),
    ("the same work twice differs by {:.1%}", "{:.0%}", lambda seen: seen.same - 1, (0.01, 0.02, _ANY)),
    (
        "the median call was {:.1%} of its time off the processor",
        "{:.0%}",
        lambda seen: 1 - seen.cpu_over_wall,
        (0.02, 0.05, 0.70),
    ),
    ("the hypervisor took {:.1%}", "{:.1%}", lambda seen: seen.steal_share or 0.0, (0.005, 0.02, 0.10)),
    ("processor times vary by {:.0%}", "{:.0%}", lambda seen: seen.processor_variation, (_ANY, _ANY, 0.50)),
    ("processor times of the same work differ by {:.1%}", "{:.0%}", lambda s: s.processor_same - 1, (_ANY, _ANY, 0.05)),
)
"""What was seen, and the most of it that grades A, B and C allow: in C the processor clock must carry the figures."""
_GRADES: tuple[Grade, ...] = ("A", "B", "C")
_MEANING = {
    "A": "nothing disturbs what is measured here",
    "B": "times hold, their tails are a little long",
    "C": "noisy: medians by the processor clock hold, p99 is indicative at best",
    "D": "not fit to measure on",
}


def probe_host(seconds: float = SECONDS, seed: int = 1) -> Quiet:
    """Times a sort in memory, on one thread, under two labels in random turn. Raises InputError."""
    if not 0.5 <= seconds <= 3600:
        raise InputError(f"{seconds:g} is out of range", path="--seconds", fix="choose 0.5 to 3600")
    order, data = np.random.default_rng(seed), np.random.default_rng(seed).random(_SIZE)
    prober = Prober()
    before = prober.read()
    rows: list[tuple[int, int, int, int]] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(rows) < 2 * _PARTS:
        turn = int(order.integers(2))
        first, second = _timed(data), _timed(data)
        rows.append((*first, *second) if turn else (*second, *first))
    table: Integers = np.array(rows[1:], dtype=np.int64)  # the first pair warms up
    return judged(table[:, [0, 2]], table[:, [1, 3]], load([before, prober.read()]), seconds)


def _timed(data: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[int, int]:
    work = data.copy()
    start, busy = time.perf_counter_ns(), time.thread_time_ns()
    work.sort()
    busy, end = time.thread_time_ns() - busy, time.perf_counter_ns()
    return end - start, busy


def judged(wall: Integers, cpu: Integers, host: Load, seconds: float) -> Quiet:
    """The grade of calls in pairs: one row a pair, one column a label, in nanoseconds."""
    parts = [part for part in np.array_split(wall, min(_PARTS, len(wall))) if len(part)]
    ratios = np.log([np.median(part[:, 0]) / np.median(part[:, 1]) for part in parts])
    half = stats.t.ppf(0.975, len(ratios) - 1) * ratios.std(ddof=1) / np.sqrt(len(ratios))
    seen = Quiet(
        grade="A",
        reason="",
        seconds=seconds,
        calls=len(wall),
        variation=_rounded(wall.std() / wall.mean()),
        processor_variation=_rounded(cpu.std() / cpu.mean()),
        memory=_rounded(autocorrelation_time(np.log(wall.ravel()))),
        cpu_over_wall=_rounded(min(1.0, float(np.median(cpu)) / float(np.median(wall)))),
        steal_share=host.steal_share,
        others_share=host.others_share,
        same=_rounded(_apart(wall)),
        same_low=_rounded(np.exp(ratios.mean() - half)),
        same_high=_rounded(np.exp(ratios.mean() + half)),
        processor_same=_rounded(_apart(cpu)),
    )
    grade, why = _grade(seen)
    return seen.model_copy(update={"grade": grade, "reason": f"{why}: {_MEANING[grade]}" if why else _MEANING[grade]})


def _rounded(value: float | np.floating) -> float:
    return round(float(value), 4)


def _apart(table: Integers) -> float:
    first, second = np.median(table, axis=0)
    return float(max(first, second) / min(first, second))


def _grade(seen: Quiet) -> tuple[Grade, str]:
    """The grade, and what stands between it and the next better one."""
    told = ""
    for place, grade in enumerate(_GRADES):
        over = [
            f"{text.format(value)} ({grade} allows {form.format(allowed[place])})"
            for text, form, find, allowed in _LIMITS
            if (value := find(seen)) > allowed[place]
        ]
        if not over:
            return grade, told
        told = "; ".join(over)
    return "D", told
