"""Those that decode with speculation. Each plan verifies what was drafted for them, and gives back what is accepted.

How many tokens that will be is drawn when a request comes, so its course is known for as long as every plan serves it:
what it attends to, which blocks it takes, with which plan it ends. The engine knows less. Under asynchronous
scheduling (`ahead`) it plans a step before the one before has ended: it takes all that this verifies for accepted when
it counts blocks, for rejected when it asks whether a request goes on, and so may plan a step that comes too late.
"""

from __future__ import annotations

from heapq import heappop, heappush

import numpy as np

from simulator.llm.job import Job


class Course:
    """What becomes of a request from one plan on."""

    def __init__(self, job: Job, number: int, size: int, counts: tuple[int, int], ahead: bool) -> None:
        first, width = counts
        left = job.output - job.issued
        total = np.cumsum(job.gains[job.turn : job.turn + left])
        steps = int(np.searchsorted(total, left)) + 1
        gained = np.minimum(np.concatenate([[0], total[:steps]]), left)
        late = ahead and left - int(gained[steps - 1]) > 1
        self.job, self.start, self.turn, self.issued, self.held = job, number, job.turn, job.issued, job.blocks
        self.ends = number + steps - 1
        """The number of the plan that gives the last token."""
        self.last = self.ends + late
        """Of the last plan that serves it."""
        self.known = job.prompt + job.issued - 1 + gained
        """Tokens before each plan whose keys and values are computed, and kept."""
        known = self.known[: steps + late]
        self.planned = known.copy()
        """The same as far as the engine knows."""
        if ahead:
            self.planned[1:] = known[:-1] + width
            self.planned[1:2] = known[:1] + first
        self.contexts = known + width
        """What it attends to in each plan."""
        self.contexts[0] = known[0] + first
        self.reaches: list[int] = self.contexts.tolist()
        needed = self.planned + width + (width - 1)
        needed[0] += first - width
        self.blocks = np.maximum.accumulate(np.maximum(-(-needed // size), job.blocks))
        """Blocks that it holds from each plan on."""
        self.sums = np.stack([np.diff(self.blocks, prepend=job.blocks), self.contexts])


class Verifying:
    """The requests of one engine that decode, `drafts` tokens being drafted for each."""

    def __init__(self, block_size: int, drafts: int, ahead: bool) -> None:
        self.block_size, self.width, self.ahead = block_size, 1 + drafts, ahead
        self.courses: dict[Job, Course] = {}
        self.workloads = [0]
        """One for each workload that is told apart."""
        self._ends: list[tuple[int, int, Course]] = []
        """A heap of (number of the plan that gives the last token, place among all courses)."""
        self._begun = 0
        self._late: list[Course] = []
        """Those who had their last token from the plan before the next, which serves them nevertheless."""
        self._sums = np.zeros((2, 256), dtype=np.int64)
        """By plan: blocks that are taken for it, and what is attended to."""
        self._origin = 0
        """The number of the first of these plans."""

    @property
    def count(self) -> int:
        """How many they are."""
        return len(self.courses)

    def begin(self, job: Job, number: int) -> None:
        """From plan `number` on every plan serves a request."""
        self._enter(job, number, self.width)

    def settle(self, job: Job, number: int) -> None:
        """Writes down what it has come to before plan `number`."""
        course = self.courses[job]
        at = number - course.start
        job.turn = course.turn + at
        job.issued = course.issued + int(course.known[at] - course.known[0])
        job.computed = int(course.planned[at])
        job.blocks = int(course.blocks[at - 1]) if at else course.held

    def leave(self, job: Job) -> None:
        """It decodes no more, and was settled: of what is not returned yet only the first token is sure."""
        course = self.courses[job]
        at = job.turn - course.turn
        job.computed = int(course.known[at - 1]) + 1 if self.ahead and at else int(course.known[at])
        self._drop(course)

    def delay(self, job: Job, number: int) -> None:
        """Plan `number`, which is being made, does not serve it."""
        self.settle(job, number)
        self.leave(job)
        if job.issued < job.output:
            self.begin(job, number + 1)

    def trim(self, job: Job, number: int, count: int) -> None:
        """Plan `number` has only so many tokens for it, and it was settled: fewer of those drafted are verified."""
        if job.issued == job.output:
            return
        self._drop(self.courses[job])
        job.gains, job.turn = job.gains[job.turn :].copy(), 0
        job.gains[0] = min(int(job.gains[0]), count)
        self._enter(job, number, count)

    def crossing(self, number: int) -> int:
        """Blocks that they take for plan `number`."""
        self._move(number)
        return int(self._sums[0, number - self._origin])

    def gains(self, number: int) -> tuple[int, ...]:
        """By place of a workload: how many get tokens from plan `number`."""
        found = [0] * len(self.workloads)
        for course in self.courses.values():
            found[course.job.workload] += course.ends >= number
        return tuple(found)

    def context(self, number: int) -> int:
        """Tokens that they attend to in plan `number`, those that it verifies included."""
        return int(self._sums[1, number - self._origin])

    def longest(self, number: int) -> int:
        """The most of one of them."""
        return max([one.reaches[number - one.start] for one in self.courses.values()], default=0)

    def first_end(self) -> int | None:
        """Plans differ, so none are made at once."""
        return None

    def affordable(self, number: int, most: int, free: int) -> int:
        """Never asked."""
        raise NotImplementedError

    def ended(self, number: int) -> list[Job]:
        """Those to whom plan `number` gives their last token; takes out those whom no further plan serves."""
        for course in self._late:
            if self.courses.get(course.job) is course:
                self._end(course)
        self._late, found = [], []
        while self._ends and self._ends[0][0] <= number:
            course = heappop(self._ends)[-1]
            if self.courses.get(course.job) is not course:
                continue
            found.append(course.job)
            if course.last > number:
                self._late.append(course)
            else:
                self._end(course)
        return found

    def _end(self, course: Course) -> None:
        job = course.job
        job.issued, job.computed, job.blocks = job.output, job.prompt + job.output - 1, int(course.blocks[-1])
        self._drop(course)

    def _enter(self, job: Job, number: int, first: int) -> None:
        course = Course(job, number, self.block_size, (first, self.width), self.ahead)
        job.last = course.last
        self.courses[job] = course
        heappush(self._ends, (course.ends, self._begun, course))
        self._begun += 1
        self._add(course, 1)

    def _drop(self, course: Course) -> None:
        del self.courses[course.job]
        self._add(course, -1)

    def _add(self, course: Course, sign: int) -> None:
        """Counts what it brings to plans that are to be made, or no more."""
        sums = course.sums[:, max(0, self._origin - course.start) :]
        begin = max(0, course.start - self._origin)
        end = begin + sums.shape[1]
        if end > self._sums.shape[1]:
            self._sums = np.pad(self._sums, ((0, 0), (0, 2 * end)))
        self._sums[:, begin:end] += sign * sums

    def _move(self, number: int) -> None:
        """Forgets plans that were made, now and then."""
        past = number - self._origin
        if past >= self._sums.shape[1] - 1:
            self._sums = np.pad(self._sums[:, past:], ((0, 0), (0, 256)))
            self._origin = number
