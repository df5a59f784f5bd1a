"""Measured against simulated: errors with intervals, and verdicts that are never tighter than what repeats differ by.

The interval of an error is a bootstrap over blocks of time: the same blocks of the measured and the simulated run,
which met the same arrivals. A verdict is an equivalence test: PASS where the whole interval is inside the band, FAIL
where all of it is outside, INCONCLUSIVE where it is neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import stats

from calibration.live.course import FIGURES, QUANTILES, SIZE, START, Course
from calibration.live.record import Comparison, Distance, Grade, Level, Verdict
from simulator.streams import Floats, Integers

TIERS: dict[Grade, dict[str, float | None]] = {
    "A": {"throughput": 0.02, "mean batch": 0.02, "mean": 0.05, "p50": 0.05, "p95": 0.10, "p99": 0.15},
    "B": {"throughput": 0.05, "mean batch": 0.05, "mean": 0.10, "p50": 0.10, "p95": 0.15, "p99": 0.25},
    "C": {"throughput": 0.10, "mean batch": 0.10, "mean": 0.20, "p50": 0.20, "p95": 0.30, "p99": None},
}
"""The largest errors that pass, by grade of the host; None where nothing is claimed."""
STEADY = {"A": 0.02, "B": 0.05, "C": 0.10}
"""By how much the device alone may move."""
SPEED_REPLAY = 0.03
"""The band of level V1, at every figure: with the measured speed only the queue and the batcher can be wrong."""
OVERLOADED = 1.0
"""From this share of the capacity on latency grows as long as the run lasts: only throughput and batches are judged."""
BLURRED = 2.0
"""A floor of more than so many times the tier's own band proves nothing: there no error passes."""
BLOCKS = 16
"""Of each run, by time of arrival."""
RESAMPLES = 400
LAG = 0.05
"""The most that the client's lateness may come to at p50, p95 and p99, as a share of the latency there."""
MOVED = 0.10
"""By how much the device alone may have become slower or faster before a run is void."""


def grade(canaries: Sequence[float]) -> Grade:
    """Of a host on which the device alone was so much slower than at first; worse than C is C, with void runs."""
    moved = max((abs(one - 1) for one in canaries), default=0.0)
    return next((name for name in TIERS if moved < STEADY[name]), "C")


def void(lag: Integers, course: Course, before: float, after: float) -> tuple[str, ...]:
    """Why a run says nothing; empty where it does. `lag` is the client's, in nanoseconds by request."""
    served = course.served()
    if not len(served):
        return ("no request was answered",)
    return (*late(lag[course.counted], served), *moved(before, after))


def late(lag: Integers, timing: Floats) -> tuple[str, ...]:
    """Whether the client was so late that it shows in a timing of the same requests, in milliseconds."""
    for name, level in QUANTILES.items():
        behind, lasted = float(np.quantile(lag, level)) / 1e6, float(np.quantile(timing, level))
        if behind > LAG * lasted:
            return (f"the client was {behind:.2f} ms late at {name}, over {LAG:.0%} of {lasted:.3g} ms",)
    return ()


def moved(before: float, after: float) -> tuple[str, ...]:
    """Whether the device alone became slower or faster, by its canaries."""
    if abs(after / before - 1) > MOVED:
        return (f"the device alone took {after / before:.2f} times as long after the run as before",)
    if max(abs(before - 1), abs(after - 1)) > MOVED:
        furthest = max(before, after, key=lambda ratio: abs(ratio - 1))
        return (f"the device alone took {furthest:.2f} times as long as at first",)
    return ()


def floors(courses: Sequence[Course]) -> dict[str, float]:
    """By figure: the largest relative difference between two of these runs of the same arrivals."""
    return apart([course.figures() for course in courses])


def apart(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """By figure: the largest relative difference between two of the rows."""
    found = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        found[name] = max(values) / min(values) - 1 if min(values) > 0 else float("inf")
    return found


def band(level: Level, figure: str, load: float, host: Grade, floor: float) -> float | None:
    """The largest error that passes; None where the figure is not judged."""
    if load >= OVERLOADED and figure not in ("throughput", "mean batch"):
        return None
    tier = SPEED_REPLAY if level == "V1" else TIERS[host][figure]
    return None if tier is None else max(tier, floor)


def verdict(low: float, high: float, allowed: float | None, blurred: bool = False) -> Verdict:
    """By equivalence: an interval of the error against the band; on a `blurred` host none passes."""
    if allowed is None:
        return "not judged"
    if -allowed <= low and high <= allowed:
        return "INCONCLUSIVE" if blurred else "PASS"
    return "FAIL" if low > allowed or high < -allowed else "INCONCLUSIVE"


def compare(
    level: Level, load: float, real: Sequence[Course], simulated: Sequence[Sequence[Course]], host: Grade
) -> list[Comparison]:
    """FIGURES of real runs at one load, together, against the simulated courses of each."""
    draws = resampled(len(real))
    measured, found = _figures([[one] for one in real], draws), _figures(simulated, draws)
    return judge(level, load, measured, found, floors(real), host)


def judge(
    level: Level,
    load: float,
    measured: Mapping[str, Floats],
    found: Mapping[str, Floats],
    floor: Mapping[str, float],
    host: Grade,
    tier_of: Callable[[str], str] = str,
) -> list[Comparison]:
    """Figures as they were, and then resampled, measured and simulated; `tier_of` says as which each is judged."""
    rows = []
    for name in measured:
        errors = found[name] / measured[name] - 1
        low, high = np.quantile(errors[1:], [0.025, 0.975]).tolist()
        tier, allowed = (band(level, tier_of(name), load, host, least) for least in (0.0, floor[name]))
        blurred = tier is not None and floor[name] > BLURRED * tier
        rows.append(
            Comparison(
                level=level,
                load=load,
                figure=name,
                measured=float(measured[name][0]),
                simulated=float(found[name][0]),
                error=float(errors[0]),
                low=low,
                high=high,
                floor=floor[name],
                band=allowed,
                verdict=verdict(low, high, allowed, blurred),
            )
        )
    return rows


def resampled(runs: int) -> Integers:
    """One row a resample, the first as it was: how often each block counts, run after run."""
    draw = np.random.default_rng(0)
    rows = [draw.multinomial(BLOCKS, [1 / BLOCKS] * BLOCKS, size=RESAMPLES) for _ in range(runs)]
    whole: Integers = np.vstack([np.ones(BLOCKS * runs, dtype=np.int64), np.hstack(rows)])
    return whole


def _figures(runs: Sequence[Sequence[Course]], draws: Integers) -> Mapping[str, Floats]:
    """FIGURES of all runs together, one value for each row of `draws`; each run may have several courses."""
    latency, of_request, size, of_batch = ([] for _ in range(4))
    for number, courses in enumerate(runs):
        for course in courses:
            served = course.counted & np.isfinite(course.latency)
            latency.append(course.latency[served])
            of_request.append(_block(course, course.arrived[served]) + BLOCKS * number)
            inside = (course.batches[:, START] >= course.since) & (course.batches[:, START] < course.until)
            size.append(course.batches[inside, SIZE])
            of_batch.append(_block(course, course.batches[inside, START]) + BLOCKS * number)
    values, blocks = np.concatenate(latency), np.concatenate(of_request)
    order = np.argsort(values, kind="stable")
    values, blocks = values[order], blocks[order]
    sizes, batch_blocks = np.concatenate(size), np.concatenate(of_batch)
    found = {name: np.empty(len(draws)) for name in FIGURES}
    for row, counts in enumerate(draws):
        weight = counts[blocks]
        total = np.cumsum(weight)
        for name, level in QUANTILES.items():
            found[name][row] = values[np.searchsorted(total, level * total[-1])]
        found["mean"][row] = weight @ values / total[-1]
        found["mean batch"][row] = counts[batch_blocks] @ sizes / counts[batch_blocks].sum()
    found["throughput"] = _throughputs(runs, draws)
    return {name: found[name] for name in FIGURES}


def _throughputs(runs: Sequence[Sequence[Course]], draws: Integers) -> Floats:
    """Answers per second by row of `draws`."""
    per_block = []
    for courses in runs:
        counts = np.zeros(BLOCKS)
        for course in courses:
            done = (course.arrived + course.latency * 1e6)[np.isfinite(course.latency)]
            inside = done[(done >= course.since) & (done < course.until)]
            counts += np.bincount(_block(course, inside), minlength=BLOCKS) / len(courses)
        seconds = (courses[0].until - courses[0].since) / 1e9 / BLOCKS
        per_block.append(counts / seconds)
    found: Floats = draws @ np.concatenate(per_block) / draws.sum(axis=1)
    return found


def _block(course: Course, times: Floats | Integers) -> Integers:
    share = (times - course.since) / (course.until - course.since)
    return np.minimum((share * BLOCKS).astype(np.int64), BLOCKS - 1)


def distance(level: Level, load: float, real: Sequence[Course], simulated: Sequence[Sequence[Course]]) -> Distance:
    """Of all latencies together."""
    ours = np.concatenate([course.served() for course in real])
    found = np.concatenate([course.served() for courses in simulated for course in courses])
    levels = np.linspace(0.01, 0.99, 99)
    ratios = np.quantile(found, levels) / np.quantile(ours, levels)
    return Distance(
        level=level,
        load=load,
        w1_over_mean=float(stats.wasserstein_distance(ours, found) / ours.mean()),
        ks=float(stats.ks_2samp(ours, found).statistic),
        qq=float(np.abs(np.log(ratios)).max()),
    )


def mean_error(rows: Sequence[Comparison], level: Level, figure: str) -> float | None:
    """Mean of the errors' sizes over the loads where the figure means something; None where there is none."""
    errors = [
        abs(one.error)
        for one in rows
        if one.level == level and one.figure == figure and (one.load < OVERLOADED or figure == "throughput")
    ]
    return float(np.mean(errors)) if errors else None
