"""Replications whose records are not kept: what is over is added to a tally, and its rows are used again.

Whenever the tape begins another extent, those whose attempts are all over are closed, by the same rules by which a
whole run is. Of requests that are tried again nothing is known before their last attempt: what precedes it is carried.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from simulator.case import Case
from simulator.figures.tally import Tally
from simulator.quantities import NEVER
from simulator.run.closing import attempts
from simulator.run.columns import by_request, chosen, joined
from simulator.run.ending import over
from simulator.run.engine import Run
from simulator.run.extents import Extent, Extents
from simulator.run.recording import RUNNING, SIZE, Replication
from simulator.run.stamps import Stamps
from simulator.streams import Integers

if TYPE_CHECKING:
    from simulator.run.flow import Flow
    from simulator.run.pool import PoolRun
    from simulator.run.tape import Tape


def count(case: Case, replication: int) -> Tally:
    """One replication, of which only what it came to is kept: memory does not grow with the number of requests."""
    run = Run(case, replication)
    ledger = Ledger(case, replication, run.tape, run.pools, run.flow)
    run.through()
    return ledger.finish(int(run.clock.now))


class Ledger:
    """The tally of one replication as it grows."""

    def __init__(self, case: Case, number: int, tape: Tape, pools: Sequence[PoolRun], flow: Flow) -> None:
        self.case, self.tape, self.pools, self.flow = case, tape, pools, flow
        self.tally = Tally.counting(case, number)
        self.stamps = Stamps(0)
        self.extents = tape.extents = Extents(self._grow, self.settle)
        followed = [item for item in case.workloads if item.answers_back]
        self.patience = max((item.timeout or 0 for item in followed), default=0)
        """How long clients who answer back may remember an attempt."""
        self.carried: Carried | None = None

    def settle(self, now: int) -> None:
        """Closes every full extent whose attempts were all over before `now`."""
        for pool in self.pools:
            self._read(pool, now)
            for replica in pool.replicas:
                if replica.pace is not None:
                    replica.pace.forget(now)
        for extent in [extent for extent in self.extents.full if extent.touched]:
            until = over(self.case, self.tape, self.stamps, extent.first, extent.end)
            if until is None:
                extent.touched = False
                continue
            if self.patience:
                until = max(until, max(self.tape.arrived[extent.first : extent.end]) + self.patience)
            if until < now:
                self._close(extent)

    def finish(self, stopped: int) -> Tally:
        """The tally of a run that ended at `stopped`."""
        for pool in self.pools:
            pool.log.since = RUNNING
            self._read(pool, RUNNING)
        last = self.extents.current
        for extent in [*self.extents.full, *([] if last is None else [last])]:
            self._add(extent, stopped)
        if self.carried is not None:
            self.tally.note(self.carried.run_of(np.arange(len(self.carried.number))))
        self.tape.clear()
        self.tally.gauge([pool.log.readings for pool in self.pools])
        self.tally.lives = tuple(pool.log.lives() for pool in self.pools)
        return self.tally

    def _grow(self, rows: int) -> int:
        first = self.tape.grow(rows)
        self.stamps.hold(first + rows)
        return first

    def _read(self, pool: PoolRun, now: int) -> None:
        """Takes from a pool's log what ended before `now`."""
        entries = pool.log.take(now)
        self.stamps.note(entries)
        first = np.cumsum(entries.batches[:, SIZE]) - entries.batches[:, SIZE]
        stages = np.array(self.tape.stage)[entries.served[first]]
        self.tally.serve(pool.number, entries.batches, entries.used, stages)
        self.tally.pools[pool.number].engines(self.tally.grid, entries.engines)
        over = entries.served, entries.rejected[:, 0], entries.lost[:, 0], entries.dropped
        self.extents.touch(np.concatenate(over))

    def _close(self, extent: Extent) -> None:
        """Adds an extent whose attempts are over, and gives its rows free."""
        self._add(extent, NEVER)
        self.stamps.clear(extent.first, extent.end)
        self.flow.forget(range(extent.first, extent.end))
        self.extents.vacate(extent)

    def _add(self, extent: Extent, stopped: int) -> None:
        run = attempts(self.case, self.tape, self.stamps, extent.first, extent.end, stopped)
        if not self.tape.answers_back:
            self.tally.note(run)
            return
        self.carried = Carried.of(self.tape, extent, run, self.carried)
        whole = self.carried.whole()
        self.tally.note(self.carried.run_of(np.flatnonzero(whole)))
        self.carried = self.carried.chosen(np.flatnonzero(~whole))


class Carried:
    """Attempts at requests of which others may be under way, in the order in which they were sent."""

    def __init__(
        self, run: Replication, number: Integers, origin: Integers, attempt: Integers, again: np.ndarray
    ) -> None:
        self.run = run
        self.number, self.origin = number, origin
        """Of the attempt's first row, and of that of the request's first attempt."""
        self.attempt, self.again = attempt, again
        """How many attempts at the request were made before, and whether another one follows."""

    @classmethod
    def of(cls, tape: Tape, extent: Extent, run: Replication, before: Carried | None) -> Carried:
        """The attempts of an extent, beside those carried before."""
        rows = slice(extent.first, extent.end)
        firsts = np.flatnonzero(tape.begins(np.array(tape.workload[rows]), np.array(tape.stage[rows])))
        found = cls(
            run,
            np.array(tape.number[rows])[firsts],
            np.array(tape.origin[rows])[firsts],
            np.array(tape.attempt[rows])[firsts],
            np.frombuffer(bytes(tape.again[rows]), np.uint8)[firsts],
        )
        if before is not None:
            columns = (
                np.concatenate([getattr(one, name) for one in (before, found)])
                for name in ("number", "origin", "attempt", "again")
            )
            found = cls(joined([before.run, run]), *columns)
        # Not even those of one extent are in order: a block has its numbers before attempts that are sent within it.
        return found.chosen(np.argsort(found.number))

    def whole(self) -> np.ndarray:
        """By attempt: whether all attempts at its request are here, the last one too."""
        _, request, counts = np.unique(self.origin, return_inverse=True, return_counts=True)
        found = np.zeros(len(counts), bool)
        last = np.flatnonzero(self.again == 0)
        found[request[last]] = counts[request[last]] == self.attempt[last] + 1
        return found[request]

    def chosen(self, attempts: Integers) -> Carried:
        """Some of them."""
        columns = (getattr(self, name)[attempts] for name in ("number", "origin", "attempt", "again"))
        return Carried(chosen(self.run, attempts), *columns)

    def run_of(self, attempts: Integers) -> Replication:
        """Some of them, as requests."""
        found = self.chosen(attempts)
        return by_request(found.run, np.searchsorted(found.number, found.origin))
