"""Replications of a case, in order, on one or several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

from simulator.case import Case
from simulator.figures.ledger import count
from simulator.figures.precision import can_grow, counts, reached
from simulator.figures.results import Result
from simulator.figures.tally import Tally
from simulator.plugins import load_plugins, loaded_plugins
from simulator.run.engine import simulate
from simulator.run.recording import Replication

Progress = Callable[[int, int], None]
"""Called with (replications done, replications in all)."""
Enough = Callable[[Result], bool]
"""Whether a result is precise enough."""

Known = MutableMapping[tuple[str, int], Replication | Tally]
"""Replications that an earlier run left, by case and number; a mapping may forget what it likes."""


def replicate(
    case: Case, numbers: Sequence[int], jobs: int = 1, known: Known | None = None
) -> Iterator[Replication | Tally]:
    """Replications of a case by their numbers, in order.

    How many processes share the work, and which replications were known before, cannot be observed.
    """
    if known is None:
        yield from _simulate(case, numbers, jobs)
        return
    key = replace(case, replications=1, precision=None).key()  # how many there are changes none of them
    kept = {number: known[key, number] for number in numbers if (key, number) in known}
    fresh = _simulate(case, [number for number in numbers if number not in kept], jobs)
    for number in numbers:
        if number in kept:
            yield kept[number]
        else:
            known[key, number] = replication = next(fresh)
            yield replication


def _simulate(case: Case, numbers: Sequence[int], jobs: int) -> Iterator[Replication | Tally]:
    yield from outcomes([(case, number) for number in numbers], jobs)


def outcomes(tasks: Sequence[tuple[Case, int]], jobs: int = 1) -> Iterator[Replication | Tally]:
    """Replications of cases, each by its number, in order."""
    processes = min(jobs, len(tasks))
    if processes <= 1:
        yield from map(_outcome, tasks)
        return
    workers = ProcessPoolExecutor(
        max_workers=processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=load_plugins,
        initargs=(loaded_plugins(),),
    )
    with workers:
        yield from workers.map(_outcome, tasks)


def _outcome(task: tuple[Case, int]) -> Replication | Tally:
    """One replication, with records where the case keeps them."""
    case, replication = task
    return simulate(case, replication) if case.keeps_records() else count(case, replication)


def run_case(
    case: Case,
    jobs: int = 1,
    progress: Progress | None = None,
    known: Known | None = None,
    enough: Enough = reached,
) -> Result:
    """The replications of a case, and what they say.

    With a precision, the replications are doubled until `enough` says so, more cannot help, or the budget is spent.
    It is asked at fixed counts only, so the number of processes cannot change the answer.
    """
    done: list[Replication | Tally] = []
    for wanted in counts(case):
        for replication in replicate(case, range(len(done), wanted), jobs, known):
            done.append(replication)
            if progress is not None:
                progress(len(done), wanted)
        result = Result(case, done)
        if case.precision is None or enough(result) or not can_grow(result):
            break
    return result
