"""Those that decode: one token a plan each, so that what they need together follows from the number of the plan."""

from __future__ import annotations

from heapq import heappop, heappush

from simulator.llm.job import Job


class Decoding:
    """The requests of one engine that decode. Nothing is done for each of them as plans go by."""

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self.count = 0
        self.workloads = [0]
        """By place of a workload: how many."""
        self._bases = 0
        """The sum of their bases."""
        self.crossings = [0] * block_size
        """By what is left of the base when it is divided by the block size: how many."""
        self._ends: list[tuple[int, int, Job]] = []
        """A heap of (number of the last plan, place among all admissions); an entry counts as long as it is true."""
        self._longest: list[tuple[int, int, Job]] = []
        """The same by the largest base."""

    def begin(self, job: Job, number: int) -> None:
        """From plan `number` on a request gets one token a plan; `computed` and `issued` are up to date."""
        job.base = job.computed - number
        job.last = number + job.output - job.issued - 1
        self._enter(job)

    def leave(self, job: Job) -> None:
        """It decodes no more."""
        self.count -= 1
        self._bases -= job.base
        self.crossings[job.base % self.block_size] -= 1
        self.workloads[job.workload] -= 1

    def delay(self, job: Job, number: int) -> None:
        """Plan `number`, which is being made, does not serve it."""
        self.leave(job)
        job.base, job.last = job.base - 1, job.last + 1
        self._enter(job)

    def settle(self, job: Job, number: int) -> None:
        """Writes down what it has come to before plan `number`."""
        job.computed = job.base + number
        job.issued = job.output - (job.last - number + 1)
        job.blocks = -(-job.computed // self.block_size)

    def crossing(self, number: int) -> int:
        """How many need a block more for plan `number`."""
        return self.crossings[-number % self.block_size]

    def gains(self, number: int) -> tuple[int, ...]:
        """By place of a workload: how many get a token from plan `number`."""
        return tuple(self.workloads)

    def context(self, number: int) -> int:
        """Tokens that they attend to in plan `number`, the new ones included."""
        return self._bases + self.count * (number + 1)

    def longest(self, number: int) -> int:
        """The most of one of them; none where nobody decodes."""
        heap = self._longest
        while heap:
            base, _, job = heap[0]
            if job.last >= number and job.base == -base:
                return number + 1 - base
            heappop(heap)
        return 0

    def first_end(self) -> int | None:
        """The number of the plan with which the first of them ends."""
        heap = self._ends
        while heap:
            last, order, job = heap[0]
            if job.last == last and job.order == order:
                return last
            heappop(heap)
        return None

    def ended(self, number: int) -> list[Job]:
        """Takes out those to whom plan `number` gives their last token."""
        found: list[Job] = []
        if not self._ends or self._ends[0][0] > number:
            return found
        while self.first_end() == number:
            job = heappop(self._ends)[-1]
            self.settle(job, number + 1)
            self.leave(job)
            found.append(job)
        return found

    def affordable(self, number: int, most: int, free: int) -> int:
        """For how many plans from `number` on, at most so many, as many blocks as are free suffice."""
        if -(-most // self.block_size) * self.count <= free:
            return most
        for count in range(most):
            free -= self.crossing(number + count)
            if free < 0:
                return count
        return most

    def _enter(self, job: Job) -> None:
        self.count += 1
        self._bases += job.base
        self.crossings[job.base % self.block_size] += 1
        self.workloads[job.workload] += 1
        heappush(self._ends, (job.last, job.order, job))
        heappush(self._longest, (-job.base, job.order, job))
