"""The speed of the server while it was measured: what the host took from it, call by call.

Where a thread works alone, its processor time is the work of a call and its wall time how long the work took; their
ratio is the speed of the server, 1 when undisturbed and near 0 while another job holds the processor. It belongs to
the host and the hour, not to the model.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

from calibration.fitting.grid import Grid
from calibration.records import Interference, Stay
from simulator.streams import Floats, Integers

MOST_STAYS = 100
"""Of a recorded course: a profile stays a document that can be read."""
CALM = 0.9
"""From this speed on a stay counts as undisturbed."""
STALLED = 0.3
"""Below this speed it counts as stalled, where that happens often enough to be told apart."""
LEAST_STAYS = 10
_MOST_TURNS = 15
"""Slow stays for each stall, at most."""


def disturbance(grid: Grid) -> Interference | None:
    """What the host did to the server in the sessions of a grid; None where no processor clock tells it apart."""
    if grid.clock != "thread_cpu":
        return None
    sessions = []
    for file in grid.files:
        columns = file.samples.columns
        kept = columns["round"] >= 0
        sessions.append((columns["cpu_ns"][kept], columns["wall_ns"][kept]))
    return interference(sessions)


def interference(sessions: Sequence[tuple[Integers, Integers]]) -> Interference | None:
    """The course of the speed over the sessions, and states that follow each other in the same way.

    Each session is (work, wall) of its calls in the order of time, in nanoseconds. None where nothing was taken.
    """
    work = np.concatenate([np.minimum(work, wall) for work, wall in sessions]).astype(np.float64)
    wall = np.concatenate([wall for _, wall in sessions]).astype(np.float64)
    if work.sum() >= wall.sum():
        return None
    return Interference(course=_stays(*merged(work, wall, MOST_STAYS)), states=_states(work, wall))


def _stays(work: Floats, wall: Floats) -> tuple[Stay, ...]:
    pairs = zip(wall.tolist(), (work / wall).tolist(), strict=True)
    return tuple(Stay(lasts=max(1, round(lasts)), speed=round(speed, 6)) for lasts, speed in pairs)


def merged(work: Floats, wall: Floats, most: int) -> tuple[Floats, Floats]:
    """Work and wall time of at most so many stretches: neighbours of the most similar speed are joined first.

    Ward's criterion (1963) with time as the weight; joining keeps work and time, so no work is lost or won.
    """
    work, wall = work.copy(), wall.copy()
    count = len(work)
    before, after = np.arange(-1, count - 1), np.arange(1, count + 1)
    version = np.zeros(count, dtype=np.int64)
    alive = np.ones(count, dtype=bool)

    def loss(left: int, right: int) -> float:
        gap = work[left] / wall[left] - work[right] / wall[right]
        return float(wall[left] * wall[right] / (wall[left] + wall[right]) * gap * gap)

    queue = [(loss(left, left + 1), left, 0, 0) for left in range(count - 1)]
    heapq.heapify(queue)
    left_over = count
    while left_over > most:
        _, left, stamp, other = heapq.heappop(queue)
        right = int(after[left])
        if not alive[left] or right >= count or version[left] != stamp or version[right] != other:
            continue
        work[left] += work[right]
        wall[left] += wall[right]
        alive[right] = False
        version[left] += 1
        after[left] = after[right]
        if after[left] < count:
            before[after[left]] = left
            heapq.heappush(queue, (loss(left, int(after[left])), left, int(version[left]), int(version[after[left]])))
        if before[left] >= 0:
            heapq.heappush(
                queue,
                (loss(int(before[left]), left), int(before[left]), int(version[before[left]]), int(version[left])),
            )
        left_over -= 1
    return work[alive], wall[alive]


def _states(work: Floats, wall: Floats) -> tuple[Stay, ...]:
    """Calm and disturbed in turn, the disturbed in two kinds where both happen: a cycle for a Markov speed.

    Calls of one kind in a row are one stay. With slow stays several times as frequent as stalls, a cycle has several
    slow ones for each stall, so that each kind keeps its share of the time and its own length.
    """
    speed = work / wall
    kind = np.where(speed >= CALM, 0, np.where(speed >= STALLED, 1, 2))
    lengths = {number: _lengths(kind, number, wall) for number in (0, 1, 2)}
    if len(lengths[2]) < LEAST_STAYS or len(lengths[1]) < LEAST_STAYS:
        kind = np.minimum(kind, 1)
        lengths = {number: _lengths(kind, number, wall) for number in (0, 1)}
    if min(map(len, lengths.values())) < LEAST_STAYS:
        return ()
    means = {number: float(found.mean()) for number, found in lengths.items()}
    speeds = {number: float(work[kind == number].sum() / wall[kind == number].sum()) for number in lengths}
    if len(lengths) == 2:
        order = [0, 1]
    else:
        common, rare = sorted((1, 2), key=lambda number: -len(lengths[number]))
        turns = min(_MOST_TURNS, round(len(lengths[common]) / len(lengths[rare])))
        order = [0, common] * turns + [0, rare]
        # Slow stays and stalls also follow each other directly: calm stays get the length that keeps its share.
        means[0] = float(lengths[0].sum()) / (len(lengths[1]) + len(lengths[2]))
    return tuple(Stay(lasts=max(1, round(means[n])), speed=round(speeds[n], 6)) for n in order)


def _lengths(kind: Integers, number: int, wall: Floats) -> Floats:
    """Wall time of each unbroken row of calls of one kind."""
    inside = np.concatenate([[False], kind == number, [False]])
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    total = np.concatenate([[0.0], np.cumsum(wall)])
    lengths: Floats = total[edges[1::2]] - total[edges[::2]]
    return lengths
