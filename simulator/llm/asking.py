"""Those that decode, where room is kept for what they ask for."""

from __future__ import annotations

from collections.abc import Callable

from simulator.llm.decoding import Decoding
from simulator.llm.job import Job


class Asking(Decoding):
    """Those that decode, and what they ask for; of each no more than `clip` tokens to come are told."""

    def __init__(self, block_size: int, asked: Callable[[Job], int], clip: int) -> None:
        super().__init__(block_size)
        self._asked, self._clip = asked, clip
        self._wanted = 0
        """The sum of their prompts and of what they ask for."""
        self._long = 0
        """How many ask for more than that."""

    def leave(self, job: Job) -> None:
        """It decodes no more."""
        super().leave(job)
        self._count(job, -1)

    def _enter(self, job: Job) -> None:
        super()._enter(job)
        self._count(job, 1)

    def _count(self, job: Job, sign: int) -> None:
        asked = self._asked(job)
        self._wanted += sign * (job.prompt + asked)
        self._long += sign * (asked > self._clip)

    def left(self, number: int, running: dict[Job, None]) -> int:
        """Tokens that they still ask for before plan `number`."""
        if not self._long:  # what one attends to is its prompt and all tokens up to the new one
            return self._wanted - self.context(number) if self.count else 0
        contexts = ((job, job.base + number + 1) for job in running if job.last >= number)
        return sum(min(job.prompt + self._asked(job) - context, self._clip) for job, context in contexts)
