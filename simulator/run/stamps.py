"""What the logs of the pools say of each visit: when its batch ran, when it was sent on, when it was refused."""

from __future__ import annotations

import numpy as np

from simulator.case import Case
from simulator.run.recording import END, IDLE_SINCE, SIZE, START, Entries
from simulator.streams import Integers

_COLUMNS = 11


class Stamps:
    """By row of the tape; times in nanoseconds, zero where it has not come to that."""

    def __init__(self, rows: int) -> None:
        self._keep(np.zeros((_COLUMNS, rows), np.int64))

    def _keep(self, columns: Integers) -> None:
        self._columns = columns
        self.batch, self.free, self.start, self.end, self.sent, self.refused, self.lost, self.dropped = columns[:-3]
        self.first, self.read, self.handed = columns[-3:]
        """The number of its batch among those of its pool; since when its instance could have served, when it was
        served; when it was sent to a line, where no replica was ready before; when it was refused, and when it was lost
        with its replica, plus one; one where it left a queue unserved; when its first token came; when the front end of
        an engine had read it; when its keys and values were with the next."""

    def hold(self, rows: int) -> None:
        """Has room for so many rows."""
        held = len(self.end)
        if rows > held:
            columns = np.zeros((_COLUMNS, max(rows, 2 * held)), np.int64)
            columns[:, :held] = self._columns
            self._keep(columns)

    def clear(self, first: int, end: int) -> None:
        """Nothing has come of the rows from `first` up to `end` yet."""
        self._columns[:, first:end] = 0

    def answered(self, case: Case, stage: int, rows: Integers) -> Integers:
        """When whoever asked had the answer of a stage, by visit; zero where it has not come to that."""
        ends, front_end = self.end[rows], case.front_end(stage)
        return ends if front_end is None else front_end.answered(ends, self.first[rows])

    def left(self, case: Case, stage: int, rows: Integers) -> Integers:
        """When the visits to a stage have ended; zero where they have not."""
        ends = self.answered(case, stage, rows)
        if case.stages[stage].sends is None:
            return ends
        found: Integers = np.where(ends > 0, np.maximum(ends, self.handed[rows]), 0)
        return found

    def note(self, entries: Entries, first: int = 0) -> None:
        """Enters what a log held; `first` is the number of the first of its batches."""
        batches, served = entries.batches, entries.served
        sizes = batches[:, SIZE]
        self.batch[served] = np.repeat(np.arange(first, first + len(batches)), sizes)
        self.free[served] = np.repeat(batches[:, IDLE_SINCE], sizes)
        self.start[served] = np.repeat(batches[:, START], sizes)
        self.end[served] = np.repeat(batches[:, END], sizes)
        self.sent[entries.held[:, 0]] = entries.held[:, 1]
        self.refused[entries.rejected[:, 0]] = entries.rejected[:, 1] + 1
        self.lost[entries.lost[:, 0]] = entries.lost[:, 1] + 1
        self.dropped[entries.dropped] = 1
        self.first[entries.firsts[:, 0]] = entries.firsts[:, 1]
        self.read[entries.read[:, 0]] = entries.read[:, 1]
        self.handed[entries.handed[:, 0]] = entries.handed[:, 1]
