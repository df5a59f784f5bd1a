"""How far the inputs of a scenario leave its figures open: refits of its profiles and draws of its load, simulated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from calibration.profile import Profile
from scenarios.load import Loaded
from scenarios.resampling import is_random, other_load
from simulator.case import Case
from simulator.errors import InputError
from simulator.figures.replications import outcomes
from simulator.figures.results import Result
from simulator.figures.rows import row_of
from simulator.figures.uncertainty import Row, Source, Uncertainty
from simulator.service import Profile as Profiled

FEWEST = 2
Progress = Callable[[int, int], None]
"""Called with (replications done, replications in all)."""


@dataclass(frozen=True)
class Doubt:
    """How inputs are drawn."""

    draws: int
    """Refits of the profiles, and draws of the load: 20 tell an interval to about a sixth of itself."""
    load: float | None = None
    """Standard deviation of a stated rate, as a share of it."""

    def __post_init__(self) -> None:
        if self.draws < FEWEST:
            problem = f"{self.draws} draws of the input have no spread"
            raise InputError(problem, path="--input-uncertainty", fix="write such as 20")
        if self.load is not None and not 0 < self.load <= 1:
            problem = f"{self.load:.0%} of the load is no standard deviation of it"
            raise InputError(problem, path="--load-uncertainty", fix="write such as 10%")


def doubt_of(draws: int | None, load: float | None) -> Doubt | None:
    """The doubt that is asked for, if any. Raises InputError."""
    if draws is None and load is not None:
        problem = "says how sure the load is, and nothing asks for what that does"
        raise InputError(problem, path="--load-uncertainty", fix="add --input-uncertainty 20")
    return None if draws is None else Doubt(draws, load)


def doubted(loaded: Loaded, result: Result, doubt: Doubt, jobs: int = 1, progress: Progress | None = None) -> Result:
    """The result of a scenario with what its inputs leave open, each draw on the same tapes. Raises InputError."""
    profiles = named(loaded)
    notes = [
        f"profile {item.name} ({item.level}) has no refits, so its figures are taken for known"
        for item in profiles
        if item.fit.refits is None
    ]
    counts = [len(item.fit.refits.ratios) for item in profiles if item.fit.refits is not None]
    refits = min([doubt.draws, *counts]) if counts else 0
    if 0 < refits < doubt.draws:
        notes.append(f"{refits} refits are all that the profiles carry")
    if not profiles:
        notes.append("no service time comes from a profile: they are taken for known")
    wanted: dict[Source, list[Case]] = {}
    if is_random(result.case, doubt.load):
        wanted["load"] = [other_load(result.case, number, doubt.load) for number in range(doubt.draws)]
    else:
        notes.append("the load is no trace, so its rate is taken for known (--load-uncertainty)")
    if refits >= FEWEST:
        wanted["profile"] = [replace(loaded, files=loaded.files.refitted(number)).case() for number in range(refits)]
    drawn = _rows(result, [case for cases in wanted.values() for case in cases], jobs, progress)
    rows = {source: tuple(next(drawn) for _ in cases) for source, cases in wanted.items()}
    return result.doubted(Uncertainty(row_of(result), rows, result.met is not None, tuple(notes)))


def named(loaded: Loaded) -> list[Profile]:
    """The profiles that say how long the batches of a scenario take, each once."""
    scenario, found = loaded.scenario, {}
    for model in scenario.models.values():
        for stage in model.stages:
            service = stage.service[scenario.pools[stage.pool].instance]
            if isinstance(service, Profiled):
                found[service.profile] = loaded.files.opened(service.profile)
    return list(found.values())


def _rows(result: Result, cases: Sequence[Case], jobs: int, progress: Progress | None) -> Iterator[Row]:
    """What each case comes to, measured from the same moment on in as many replications as the result."""
    count = len(result.runs)
    alike = [replace(case, warmup=result.start, replications=count, precision=None) for case in cases]
    runs = outcomes([(case, number) for case in alike for number in range(count)], jobs)
    for place, case in enumerate(alike):
        kept = []
        for _ in range(count):
            kept.append(next(runs))
            if progress is not None:
                progress(place * count + len(kept), len(alike) * count)
        yield row_of(Result(case, kept))
