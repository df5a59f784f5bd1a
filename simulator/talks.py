"""Sessions that a trace tells: who sends each request, and what of its prompt was said before."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import InstanceOf

from simulator.arrays import Array
from simulator.arrivals import Replay
from simulator.component import Record
from simulator.sizes import Sampler
from simulator.streams import Draws, Integers


class Talks(Record):
    """The sessions of a replay's requests, by value; each column one number a request."""

    sessions: Array
    talks: Array
    """The same, but that a session begins anew where a prompt is shorter than what was said before it."""
    known: Array
    """Tokens of the prompt that were said before."""
    arrivals: InstanceOf[Replay]

    @classmethod
    def of(cls, sessions: Integers, prompts: Integers, answers: Integers, arrivals: Replay) -> Self:
        """From those of a whole trace; a prompt repeats the prompt and the answer before it if it is as long."""
        part = arrivals.places()
        _, sessions = np.unique(sessions[part], return_inverse=True)
        prompts, whole = np.maximum(prompts[part], 1), np.maximum(prompts[part], 1) + np.maximum(answers[part], 1)
        order = np.argsort(sessions, kind="stable")
        follows = np.zeros(len(order), dtype=bool)
        follows[1:] = sessions[order][1:] == sessions[order][:-1]
        before = np.where(follows, np.concatenate([[0], whole[order][:-1]]), 0)
        goes_on = follows & (prompts[order] >= before)
        talks, known = np.empty_like(order), np.empty_like(order)
        talks[order] = np.cumsum(~goes_on) - 1
        known[order] = np.where(goes_on, before, 0)
        return cls(sessions=sessions, talks=talks, known=known, arrivals=arrivals)

    def session(self, draws: Draws, workload: str) -> Sampler:
        """The function (first, count) -> the sessions of these requests; who repeats a request is in another."""
        return self._sampler(self.sessions, draws, workload)

    def talk(self, draws: Draws, workload: str) -> Sampler:
        """The function (first, count) -> the talks of these requests."""
        return self._sampler(self.talks, draws, workload)

    def resampled(self, places: Integers, times: Integers, arrivals: Replay) -> Self:
        """Those of other arrivals: by request the place in the trace of the one that it is, and how often that came.

        What comes again is said by others.
        """
        chosen = places - (self.arrivals.places().start or 0)
        others = {
            name: column[chosen] + times * (int(column.max()) + 1)
            for name, column in (("sessions", self.sessions), ("talks", self.talks))
        }
        return self.model_copy(update={**others, "known": self.known[chosen], "arrivals": arrivals})

    def _sampler(self, column: Integers, draws: Draws, workload: str) -> Sampler:
        replayed = self.arrivals.replayed(draws, workload)
        found = column[replayed.places - self.arrivals.places().start] + replayed.copies * (int(column.max()) + 1)
        # Nobody comes beyond the last.
        return lambda first, count: found[np.minimum(np.arange(first, first + count), len(found) - 1)]

    def common(self) -> float:
        """Mean tokens of a prompt that were said before."""
        return float(self.known.mean())
