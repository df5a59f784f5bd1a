"""How far the inputs of a scenario leave its figures open, simulated: other fits of its profiles, other loads.

Refits of the profiles and draws of the load are asked for. Where a profile is asked for more than was measured, the
ends of its band are simulated unasked: without them the intervals would be those of a law that nobody has seen there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, replace

from calibration.profile import Profile
from calibration.tables import End
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
Drawn = MutableMapping[str, Row]
"""What draws came to, by their case."""


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


def doubted(
    loaded: Loaded,
    result: Result,
    doubt: Doubt | None,
    jobs: int = 1,
    progress: Progress | None = None,
    known: Drawn | None = None,
) -> Result:
    """The result of a scenario with what its inputs leave open, each draw on the same tapes. Raises InputError.

    Without a doubt it is the same result, unless a profile is asked for more than was measured. Draws that are `known`
    are not simulated again.
    """
    wanted, notes = other_inputs(loaded, result, doubt)
    if doubt is None and not wanted:
        return result
    drawn = _rows([case for cases in wanted.values() for case in cases], jobs, progress, {} if known is None else known)
    rows = {source: tuple(next(drawn) for _ in cases) for source, cases in wanted.items()}
    return result.doubted(Uncertainty(row_of(result), rows, result.met is not None, tuple(notes)))


def other_inputs(loaded: Loaded, result: Result, doubt: Doubt | None) -> tuple[dict[Source, list[Case]], list[str]]:
    """The cases to run beside that of a result, measured from the same moment on in as many replications; and notes.

    Raises InputError.
    """
    profiles = named(loaded)
    wanted, notes = ({}, []) if doubt is None else _asked_for(loaded, result.case, doubt, profiles)
    ends: tuple[End, ...] = (-1, 1)
    if profiles and loaded.files.farther:
        files = [loaded.files.at_end(end) for end in ends]
        cases = [replace(loaded, files=one).case() for one in files]
        if files[0].farther:  # not only other scenarios that read the same files
            wanted["extrapolation"] = cases
    count = len(result.runs)
    alike = {
        source: [replace(case, warmup=result.start, replications=count, precision=None) for case in cases]
        for source, cases in wanted.items()
    }
    return alike, notes


def _asked_for(
    loaded: Loaded, case: Case, doubt: Doubt, profiles: Sequence[Profile]
) -> tuple[dict[Source, list[Case]], list[str]]:
    """The draws of a doubt, and what they take for known."""
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
    if is_random(case, doubt.load):
        wanted["load"] = [other_load(case, number, doubt.load) for number in range(doubt.draws)]
    else:
        notes.append("the load is no trace, so its rate is taken for known (--load-uncertainty)")
    if refits >= FEWEST:
        wanted["profile"] = [replace(loaded, files=loaded.files.refitted(number)).case() for number in range(refits)]
    return wanted, notes


def named(loaded: Loaded) -> list[Profile]:
    """The profiles that say how long the batches of a scenario take, each once."""
    scenario, found = loaded.scenario, {}
    for model in scenario.models.values():
        for stage in model.stages:
            service = stage.service[scenario.pools[stage.pool].instance]
            if isinstance(service, Profiled):
                found[service.profile] = loaded.files.opened(service.profile)
    return list(found.values())


def _rows(cases: Sequence[Case], jobs: int, progress: Progress | None, known: Drawn) -> Iterator[Row]:
    """What each case comes to; those that are not known yet are simulated together."""
    keys = [case.key() for case in cases]
    total = sum(case.replications for case in cases)
    fresh = {key: case for key, case in zip(keys, cases, strict=True) if key not in known}
    runs = outcomes([(case, number) for case in fresh.values() for number in range(case.replications)], jobs)
    done = 0
    for key, case in zip(keys, cases, strict=True):
        kept = []
        for _ in range(case.replications if key in fresh and key not in known else 0):
            kept.append(next(runs))
            if progress is not None:
                progress(done + len(kept), total)
        if kept:
            known[key] = row_of(Result(case, kept))
        done += case.replications
        yield known[key]
