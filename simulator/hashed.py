"""Prompts of which a trace tells the hashes of their blocks: how far each begins like others.

Two prompts begin alike as far as their hashes are the same from the first on. All that a trace's prompts begin with is
a tree; where nothing branches, blocks go together in a *run*, so that little is kept of each prompt.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, InstanceOf

from simulator.arrays import Array, Chains
from simulator.arrivals import Replay
from simulator.component import Record
from simulator.sizes import Sampler
from simulator.streams import Draws, Integers

_COPY = 1 << 40


class Hashed(Record):
    """What the prompts of a replay begin with, by value: of each the runs of its tree, from the root on."""

    tokens: int = Field(ge=1)
    """Of the block that a hash stands for."""
    runs: Array
    """Numbers of runs, request by request."""
    ends: Array
    """Beside each: the tokens at which it ends in that prompt."""
    begins: Array
    """By request: where its runs begin, and at last where those of the last end."""
    known: Array
    """By request: tokens that it has in common with any before it."""
    arrivals: InstanceOf[Replay]

    @classmethod
    def of(cls, chains: Chains, prompts: Integers, tokens: int, arrivals: Replay) -> Self:
        """From the hashes and the prompts' tokens of a whole trace. Only blocks that are full can be shared."""
        part = arrivals.places()
        chosen = np.arange(len(arrivals.times))[part]
        rows = chains.rows(chosen, prompts[part] // tokens)
        run, seen = _tree(rows)
        row = np.repeat(np.arange(len(chosen)), np.diff(rows.begins))
        depth = np.arange(len(run)) - rows.begins[row] + 1
        last = np.ones(len(run), dtype=bool)
        last[:-1] = (run[1:] != run[:-1]) | (row[1:] != row[:-1])
        begins = np.concatenate([[0], np.cumsum(np.bincount(row[last], minlength=len(chosen)))])
        known = np.bincount(row[seen], minlength=len(chosen)) * tokens
        return cls(
            tokens=tokens, runs=run[last], ends=depth[last] * tokens, begins=begins, known=known, arrivals=arrivals
        )

    def sampler(self, draws: Draws, workload: str) -> Sampler:
        """The function (first, count) -> what `pieces` reads of the requests with these numbers."""
        replayed = self.arrivals.replayed(draws, workload)
        entries = replayed.copies * _COPY + replayed.places - self.arrivals.places().start
        # Nobody comes beyond the last.
        return lambda first, count: entries[np.minimum(np.arange(first, first + count), len(entries) - 1)]

    def pieces(self, entry: int, workload: int, block: int) -> tuple[tuple[int, int], ...]:
        """The runs of a prompt, each with the block of an engine at which it ends; blocks have so many tokens.

        What a replay repeats is said by others, so it begins with nothing of the original.
        """
        copy, place = divmod(entry, _COPY)
        part = slice(int(self.begins[place]), int(self.begins[place + 1]))
        world = ((copy << 8) + workload) << 40
        found, before = [], 0
        for run, tokens in zip(self.runs[part].tolist(), self.ends[part].tolist(), strict=True):
            if (end := tokens // block) > before:
                found.append((world + run, end))
                before = end
        return tuple(found)

    def resampled(self, places: Integers, times: Integers, arrivals: Replay) -> Self:
        """Those of other arrivals: by request the place in the trace of the one that it is, and how often that came.

        What comes again is said by others.
        """
        chosen = places - (self.arrivals.places().start or 0)
        runs, ends = (Chains(column, self.begins).rows(chosen, self.begins[-1:]) for column in (self.runs, self.ends))
        others = np.repeat(times, np.diff(runs.begins)) * (int(self.runs.max(initial=0)) + 1)
        update = {"runs": runs.values + others, "ends": ends.values, "begins": runs.begins}
        return self.model_copy(update={**update, "known": self.known[chosen], "arrivals": arrivals})

    def common(self) -> float:
        """Mean tokens that a prompt has in common with any before it."""
        return float(self.known.mean())


def _tree(rows: Chains) -> tuple[Integers, np.ndarray]:
    """By number in the rows: the run that it belongs to, and whether an earlier row begins alike up to there."""
    lengths, count = np.diff(rows.begins), 0
    run = np.zeros(len(rows.values), dtype=np.int64)
    seen = np.zeros(len(rows.values), dtype=bool)
    above = np.zeros(len(lengths), dtype=np.int64)  # by row: its branch one level higher
    head = np.zeros(1, dtype=np.int64)  # by branch of that level: the run that it belongs to
    left = np.arange(len(lengths))
    for depth in range(int(lengths.max(initial=0))):
        left = left[lengths[left] > depth]
        places = rows.begins[left] + depth
        _, value = np.unique(rows.values[places], return_inverse=True)
        _, first, branch = np.unique(above[left] * len(left) + value, return_index=True, return_inverse=True)
        parents = above[left][first]
        fork = (np.bincount(parents, minlength=len(head)) > 1) | (depth == 0)
        head = np.where(fork[parents], count + np.arange(len(first)), head[parents])
        count += len(first)
        run[places], seen[places], above[left] = head[branch], left > left[first][branch], branch
    return run, seen
