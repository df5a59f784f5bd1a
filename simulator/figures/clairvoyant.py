"""The yardstick of an autoscaler: replicas by minute of somebody who knew what would arrive.

What is looked for are the cheapest replica counts on a grid of minutes that meet the objectives, with the same start
delays. What is found is played by the same engine, meets them (by their values, over all replications), and so is an
upper bound of the cheapest. It is not proved to be the cheapest: whether a schedule meets them is known only by
simulating it, and there are too many to simulate them all.

1. As many replicas as there may be, all the time: if that misses, so will what has fewer.
2. Replicas by the square-root rule from the load of each minute, the spare ones by bisection.
3. One replica fewer over stretches of time, those that save most first: kept where the objectives still hold; where
   they do not, both halves of the stretch are tried instead.
4. All replications: the cheapest of those that the first one held, and where they miss, dearer ones of these.

Steps 1 to 3 look at the first replication, and simulate it at most so often as the budget says.

`least_time` is a lower bound: what the objectives ask to be served, always at the best batch size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from heapq import heappop, heappush

from simulator.autoscaling import PerRequest
from simulator.batching import LlmEngine
from simulator.case import Case
from simulator.figures.cost import HOUR, machine_time
from simulator.figures.plans import Plan, lead, load_by_minute, minutes, playing, replica_time, service_time, staffed
from simulator.figures.replications import run_case
from simulator.figures.results import Result

MOST_TRIES, FEWEST_TRIES = 40, 5
"""Simulations of the first replication, unless their number is given ..."""
MOST_REQUESTS = 3_000_000
"""... and so many requests in all of them; where these are not enough for the fewest, no schedule is looked for."""
SPARE = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
"""Replicas above the load, in units of its root."""
Progress = Callable[[str, int, int], None]
"""Called with (what is done, simulations of it that are done, the most there will be)."""


@dataclass(frozen=True)
class Yardstick:
    """The cheapest schedule that was found, or why there is none."""

    plan: Plan = ()
    """Replicas that are to be ready, by minute; empty where there is none."""
    result: Result | None = None
    """What becomes of all replications with it."""
    tries: int = 0
    """Simulations of the first replication that it took."""
    ended: bool = False
    """Whether the budget ended before every stretch had been tried."""
    hours: float = 0.0
    """Replica-hours that it takes, loading and draining too, on average."""
    least: float | None = None
    """Replica-hours that no schedule can do without, on average; None where that is not known."""
    reason: str = ""
    """Why there is none."""

    @property
    def peak(self) -> int:
        """The most replicas in any minute."""
        return max(self.plan)


NOT_ASKED = Yardstick(reason="no schedule was looked for")


def budget(case: Case) -> int:
    """How often the first replication may be simulated, by its size; 0 where that would take too long."""
    tries = min(MOST_TRIES, int(MOST_REQUESTS // max(case.requests(), 1.0)))
    return tries if tries >= FEWEST_TRIES else 0


def clairvoyant(case: Case, number: int, tries: int, jobs: int = 1, progress: Progress | None = None) -> Yardstick:
    """The cheapest schedule for a pool that is found in so many simulations of the first replication."""
    if isinstance(case.pools[number].autoscaler, PerRequest):
        return Yardstick(reason="replicas that serve one request each follow no schedule")
    if not case.slos:
        return Yardstick(reason="no objective is given")
    if tries < 1:
        return NOT_ASKED
    search = _Search(replace(case, precision=None), number, tries, progress)
    first = search.play(search.flat)
    if first.reason:
        return Yardstick(reason=first.reason, tries=1)
    if not first.held:
        return Yardstick(reason=_even(search.most), tries=1)
    search.trim(search.staffed(first.result))
    return search.confirmed(jobs)


def _even(most: int) -> str:
    told = f"{most} replicas all the time do" if most != 1 else "1 replica all the time does"
    return f"no schedule meets the objectives: even {told} not"


@dataclass(frozen=True)
class _Played:
    held: bool
    result: Result
    reason: str = ""


class _Search:
    """Plans for a pool, played with the first replication and remembered."""

    def __init__(self, case: Case, number: int, tries: int, progress: Progress | None) -> None:
        self.case, self.number, self.tries, self.progress = case, number, tries, progress
        pool = case.pools[number]
        self.early, self.most = lead(pool), pool.most()
        self.fewest = min(pool.autoscaler.bounds(pool.replicas)[0], 1)
        self.flat: Plan = (self.most,) * minutes(case)
        self.known: dict[Plan, bool] = {}
        self.ended = False

    def play(self, plan: Plan, replications: int = 1, jobs: int = 1) -> _Played:
        """What becomes of a plan."""
        case = replace(playing(self.case, self.number, plan), replications=replications)
        result = run_case(case, jobs, self._tell)
        held, reason = True, ""
        for verdict in result.verdicts:
            value = verdict.estimate.value
            held = held and value is not None and verdict.slo.holds(value)
            if value is None:
                reason = f"{verdict.slo}: {verdict.estimate.reason}"
        if replications == 1:
            self.known[plan] = held
        return _Played(held, result, reason)

    def _tell(self, done: int, total: int) -> None:
        if self.progress is None:
            return
        if total > 1:
            self.progress("playing the schedule", done, total)
        else:
            self.progress("looking for the cheapest schedule", min(len(self.known) + done, self.tries), self.tries)

    def holds(self, plan: Plan) -> bool:
        """Whether a plan meets the objectives; not, where the budget has ended."""
        if plan not in self.known:
            if len(self.known) >= self.tries:
                self.ended = True
                return False
            self.play(plan)
        return self.known[plan]

    def cost(self, plan: Plan) -> int:
        """Nanoseconds of replicas."""
        return replica_time(plan, self.early, self.case.duration)

    def staffed(self, result: Result) -> Plan:
        """By the square-root rule, with the fewest spare replicas that hold; as many as there may be, if none does."""
        loads = load_by_minute(self.case, result.tallies[0], self.number)
        plans = [staffed(loads, spare, self.fewest, self.most) for spare in SPARE]
        low, high = 0, len(plans)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.holds(plans[middle]) else (middle + 1, high)
        return plans[low] if low < len(plans) else self.flat

    def trim(self, plan: Plan) -> None:
        """Plays plans with fewer replicas, wherever the objectives still hold."""
        queue: list[tuple[int, int, int]] = []

        def put(start: int, end: int) -> None:
            saved = self.cost(plan) - self.cost(self.less(plan, start, end))
            if saved > 0:
                heappush(queue, (-saved, start, end))

        put(0, len(plan))
        while queue and not self.ended:
            saving, start, end = heappop(queue)
            candidate = self.less(plan, start, end)
            if self.cost(plan) - self.cost(candidate) != -saving:
                put(start, end)  # another cut has changed what this one saves
            elif self.holds(candidate):
                plan = candidate
                put(start, end)
            elif end - start > 1:
                middle = _cut(plan, start, end)
                put(start, middle)
                put(middle, end)

    def less(self, plan: Plan, start: int, end: int) -> Plan:
        """With a replica fewer in some minutes."""
        cut = tuple(max(count - 1, min(count, self.fewest)) for count in plan[start:end])
        return plan[:start] + cut + plan[end:]

    def confirmed(self, jobs: int) -> Yardstick:
        """The cheapest plan that held, if all replications hold it; or else the next, in steps that double."""
        held = sorted((plan for plan, met in self.known.items() if met), key=self.cost)
        place, step = 0, 1
        while True:
            played = self.play(held[place], self.case.replications, jobs)
            if played.held:
                return Yardstick(
                    plan=held[place],
                    result=played.result,
                    tries=len(self.known),
                    ended=self.ended,
                    hours=replica_hours(played.result, self.number),
                    least=least_hours(played.result, self.number),
                )
            if place == len(held) - 1:
                return Yardstick(reason=_even(self.most), tries=len(self.known))
            place, step = min(place + max(1, step // 2), len(held) - 1), step * 2


def _cut(plan: Plan, start: int, end: int) -> int:
    """Where to cut a stretch: where the plan changes, as near to the middle as there is such a place."""
    changes = [place for place in range(start + 1, end) if plan[place] != plan[place - 1]]
    middle = (start + end) // 2
    return min(changes, key=lambda place: abs(place - middle)) if changes else middle


def replica_hours(result: Result, number: int) -> float:
    """Replica-hours of a pool in the measured time, from launch to stop, on average."""
    times = [machine_time(run.lives[number].replicas, result.start, result.case.duration) for run in result.tallies]
    return sum(times) / HOUR / len(times)


def least_hours(result: Result, number: int) -> float | None:
    """Replica-hours, averaged over replications, that no schedule does without which meets the objectives.

    Of the requests that were measured the objectives leave some out, and some may be served after the end. All others
    take their part of a replica at the best batch size: on average, as service times are. None where it is not known:
    of several workloads, of closed loops, of engines that serve in steps, of stages that some requests pass by, and
    where the objectives name no time until the whole answer.
    """
    case = result.case
    workload, most = case.workloads[0], 0.0
    if len(case.workloads) > 1 or workload.closed or isinstance(case.pools[number].batching, LlmEngine):
        return None
    if any(case.stages[stage].only for stage in case.stages_of(number)):
        return None
    for slo in case.slos:
        share = {"percentile": slo.quantile, "errors": 1 - slo.target, "attainment": slo.target}.get(slo.measure)
        limit = slo.limit if slo.measure != "errors" else workload.timeout
        if share is None or limit is None or slo.window is not None or slo.timing != "latency":
            continue
        needed = []
        for run in result.tallies:
            grid, came = run.grid, run.arrived[0]
            measured = came[grid.bins[:-1] >= result.start].sum()
            last = came[grid.bins[1:] > case.duration - limit].sum()
            needed.append(max(0.0, share * measured - last))
        most = max(most, sum(needed) / len(needed))
    return most * service_time(case, number) / 3600 or None
