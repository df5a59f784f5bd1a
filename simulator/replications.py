"""Replications of a case, in order, on one or several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

from simulator.case import Case
from simulator.engine import simulate
from simulator.plugins import load_plugins, loaded_plugins
from simulator.recording import Replication
from simulator.results import Result

Progress = Callable[[int, int], None]
"""Called with (replications done, replications in all)."""


Known = MutableMapping[tuple[str, int], Replication]
"""Replications that an earlier run left, by case and number; a mapping may forget what it likes."""


def replicate(case: Case, jobs: int = 1, known: Known | None = None) -> Iterator[Replication]:
    """The replications of a case in order.

    How many processes share the work, and which replications were known before, cannot be observed.
    """
    if known is None:
        yield from _simulate(case, range(case.replications), jobs)
        return
    key = replace(case, replications=1).key()  # how many there are changes none of them
    kept = {number: known[key, number] for number in range(case.replications) if (key, number) in known}
    fresh = _simulate(case, [number for number in range(case.replications) if number not in kept], jobs)
    for number in range(case.replications):
        if number in kept:
            yield kept[number]
        else:
            known[key, number] = replication = next(fresh)
            yield replication


def _simulate(case: Case, numbers: Sequence[int], jobs: int) -> Iterator[Replication]:
    processes = min(jobs, len(numbers))
    if processes <= 1:
        yield from map(partial(simulate, case), numbers)
        return
    workers = ProcessPoolExecutor(
        max_workers=processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=load_plugins,
        initargs=(loaded_plugins(),),
    )
    with workers:
        yield from workers.map(partial(simulate, case), numbers)


def run_case(case: Case, jobs: int = 1, progress: Progress | None = None, known: Known | None = None) -> Result:
    """All replications of a case, and what they say."""
    done: list[Replication] = []
    for replication in replicate(case, jobs, known):
        done.append(replication)
        if progress is not None:
            progress(len(done), case.replications)
    return Result(case, done)
