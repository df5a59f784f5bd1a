"""Columns of attempts: put one after the other, chosen from, and drawn together into those of requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from simulator.run.recording import Replication, Visits
from simulator.streams import Integers

_EMPTY = np.empty(0, dtype=np.int64)
NO_VISITS = Visits(_EMPTY, _EMPTY, _EMPTY.astype(np.uint8), _EMPTY, {}, _EMPTY.astype(bool))


def joined(parts: Sequence[Replication]) -> Replication:
    """The attempts of several stretches of the tape, in order."""
    if len(parts) == 1:
        return parts[0]
    firsts = np.cumsum([0, *(len(part.arrived) for part in parts)])
    arrived = np.concatenate([part.arrived for part in parts])
    visits = []
    for stage in zip(*(part.visits for part in parts), strict=True):
        at_once = all(one.came is part.arrived for one, part in zip(stage, parts, strict=True))
        causes = sorted({cause for one in stage for cause in one.spent})
        visits.append(
            Visits(
                attempt=np.concatenate([one.attempt + first for one, first in zip(stage, firsts, strict=False)]),
                batch_of=np.concatenate([one.batch_of for one in stage]),
                routed=np.concatenate([one.routed for one in stage]),
                came=arrived if at_once else np.concatenate([one.came for one in stage]),
                spent={
                    cause: np.concatenate([one.spent.get(cause, np.zeros(len(one.came), np.int64)) for one in stage])
                    for cause in causes
                },
                critical=np.concatenate([one.critical for one in stage]),
            )
        )
    return replace(
        parts[0],
        arrived=arrived,
        workload=np.concatenate([part.workload for part in parts]),
        latency=np.concatenate([part.latency for part in parts]),
        outcome=np.concatenate([part.outcome for part in parts]),
        visits=tuple(visits),
        replies=np.concatenate([part.replies for part in parts]),
        timings={name: np.concatenate([part.timings[name] for part in parts]) for name in parts[0].timings},
        tokens={name: np.concatenate([part.tokens[name] for part in parts]) for name in parts[0].tokens},
    )


def chosen(run: Replication, attempts: Integers) -> Replication:
    """Some of the attempts, in the order given."""
    place = np.full(len(run.arrived), -1)
    place[attempts] = np.arange(len(attempts))
    visits = []
    for one in run.visits:
        places = place[one.attempt]
        kept = np.flatnonzero(places >= 0)
        kept = kept[np.argsort(places[kept])]
        visits.append(
            Visits(
                attempt=places[kept],
                batch_of=one.batch_of[kept],
                routed=one.routed[kept],
                came=one.came[kept],
                spent={cause: spent[kept] for cause, spent in one.spent.items()},
                critical=one.critical[kept],
            )
        )
    return replace(
        run,
        arrived=run.arrived[attempts],
        workload=run.workload[attempts],
        latency=run.latency[attempts],
        outcome=run.outcome[attempts],
        visits=tuple(visits),
        replies=run.replies[attempts],
        timings={name: times[attempts] for name, times in run.timings.items()},
        tokens={name: counts[attempts] for name, counts in run.tokens.items()},
    )


def by_request(run: Replication, origin: Integers) -> Replication:
    """Attempts as requests: from the first attempt to the end of the last. `origin` holds the first of each."""
    attempts = np.arange(len(origin))
    firsts = np.flatnonzero(origin == attempts)
    firsts = firsts[np.argsort(run.arrived[firsts], kind="stable")]
    last = np.zeros(len(origin), dtype=np.int64)
    np.maximum.at(last, origin, attempts)
    last, place = last[firsts], np.empty(len(origin), dtype=np.int64)
    place[firsts] = np.arange(len(firsts))
    before = run.arrived[last] - run.arrived[firsts]
    timings = {name: times[last] for name, times in run.timings.items()}
    for name in timings.keys() & {"ttft", "queue"}:  # what came before the attempt that was answered counts
        timings[name] = np.where(timings[name] < 0, timings[name], timings[name] + before)
    return replace(
        run,
        arrived=run.arrived[firsts],
        workload=run.workload[firsts],
        latency=before + run.latency[last],
        outcome=run.outcome[last],
        timings=timings,
        tokens={name: counts[last] for name, counts in run.tokens.items()},
        request_of=place[origin],
    )
