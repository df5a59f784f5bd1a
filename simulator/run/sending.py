"""Keys and values of prompts on their way out of a replica, to the engines that answer.

An engine holds the blocks of a prompt until they have been sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.llm.job import Job
from simulator.model import KvTransfer

if TYPE_CHECKING:
    from simulator.run.stepping import StepLine


class Sending:
    """What leaves one replica."""

    __slots__ = ("free", "line", "under_way", "way")

    def __init__(self, line: StepLine, way: KvTransfer) -> None:
        self.line, self.way = line, way
        self.free = 0
        """When all has left that is sent, where transfers wait for each other."""
        self.under_way: dict[int, Job] = {}
        """By visit."""

    def send(self, job: Job, heard: int, now: int) -> int:
        """A prompt is done, of which whoever asked has `heard`; gives back when its visit ends."""
        tokens, way = job.prompt, self.way
        if not way.begun or self.line.outputs[job.request] > 1:  # else there is nothing left to answer
            self.free = (max(now, self.free) if way.serial else now) + way.time(tokens)
            heard = max(heard, self.free + way.latency)
            self.line.pool.log.handed.append((job.request, heard))
        if heard > now:
            self.under_way[job.request] = job
        else:
            self._release(job, now)
        return heard

    def ended(self, visit: int, now: int) -> None:
        """A visit ends: its keys and values are there."""
        if (job := self.under_way.pop(visit, None)) is not None:
            self._release(job, now)
            self.line.set_alarm()

    def _release(self, job: Job, now: int) -> None:
        assert self.line.loop is not None
        self.line.loop.release(job, now)
