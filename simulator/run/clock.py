"""The clock: SimPy's environment, with the order of simultaneous events written down.

Two things that happen at the same nanosecond happen in this order:

    0  control events: autoscaler ticks, cold starts that end (SimPy processes)
    1  batch timers
    2  time-outs
    3  completions, and batches on a shared device that begin later than they were taken
    4  hand-offs to the next stage
    5  retries
    6  arrivals, by their place on the tape

and inside a rank by pool, then by slot, then by instance. Time is integer nanoseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop
from typing import Any

import simpy

TIMER, TIMEOUT, COMPLETION, HAND_OFF, RETRY, ARRIVAL = range(1, 7)


_PARTS = 16
"""Bits for the parts of a slot, such as its instances."""


def place(rank: int, pool: int, slot: int, part: int = 0) -> int:
    """Where an event stands among those of the same time: a SimPy priority beyond SimPy's own 0 and 1."""
    return (rank << 56) | (pool << 40) | (slot << _PARTS) | part


class Clock(simpy.Environment):
    """SimPy's environment with integer time, and with plain functions beside SimPy's own events.

    The data plane enters the heap as `(time, place, number, function)`, without the bookkeeping of a SimPy event; no
    two such entries may share time, place and number. The function is called with the time.
    """

    def __init__(self) -> None:
        super().__init__(initial_time=0)
        self.agenda: list[Any] = self._queue
        """SimPy's heap."""

    def at(self, now: int) -> Clock:
        """Itself, with SimPy's own time brought up to `now`: what happens between SimPy's events does not move it."""
        self._now = now
        return self

    def forget(self, ranks: Iterable[int], pool: int, slot: int) -> None:
        """Takes all that a slot has on the agenda at these ranks off it, by a look at the whole agenda."""
        gone = {place(rank, pool, slot) >> _PARTS for rank in ranks}
        self.agenda[:] = [entry for entry in self.agenda if entry[1] >> _PARTS not in gone]
        heapify(self.agenda)

    def withdraw(self, events: Iterable[simpy.Event]) -> None:
        """Takes events of SimPy off the agenda, by a look at all of it."""
        gone = set(map(id, events))
        self.agenda[:] = [entry for entry in self.agenda if id(entry[3]) not in gone]
        heapify(self.agenda)

    def run_through(self, times: Sequence[int], rows: Sequence[int], arrive: Callable[[int, int], None]) -> None:
        """Lets visits come at `times`, each after all that is due by then."""
        agenda = self.agenda
        for row, time in zip(rows, times, strict=True):
            while agenda and agenda[0][0] <= time:
                now, where, _, what = heappop(agenda)
                if where > 1:
                    what(now)
                else:
                    self._control(now, what)
            arrive(row, time)
        if times:
            self._now = max(self._now, times[-1])

    def run_until(self, time: int) -> None:
        """Runs all that is due by `time`."""
        while self.agenda and self.agenda[0][0] <= time:
            self.step()
        self._now = max(self._now, time)

    def step(self) -> None:
        """Runs the next event."""
        now, where, _, what = heappop(self.agenda)
        if where > 1:
            self._now = now
            what(now)
        else:
            self._control(now, what)

    def _control(self, now: int, event: Any) -> None:
        """What SimPy does with an event of its own."""
        self._now = now
        callbacks, event.callbacks = event.callbacks, None
        for callback in callbacks:
            callback(event)
        if not event._ok and not hasattr(event, "_defused"):
            raise event._value
