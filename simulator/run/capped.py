"""A client that has no more than so many requests under way, as benchmarks do.

Whoever is due while that many are waits at the client, and is sent, in the order in which they were due, as soon as one
under way has been answered or has failed for good. Before it is sent a request exists for nobody: its time begins then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator


class Capped:
    """The requests of one workload that are still to be sent."""

    def __init__(
        self,
        most: int,
        stamps: Iterator[list[int]],
        until: int,
        send: Callable[[int, int], None],
        at: Callable[[int, Callable[[int], None]], None],
    ) -> None:
        self.most, self.until, self._send, self._at = most, until, send, at
        self.under_way = 0
        self.next = -1
        """The number of the request that is sent next."""
        self._due = (time for block in stamps for time in block)
        self._armed = False
        self.due: int | None
        """When it is to be sent; None where there is no more."""
        self._turn()
        self._arm(0)

    def ended(self, now: int) -> None:
        """A request has been answered, or has failed for good."""
        self.under_way -= 1
        self._arm(now)

    def _turn(self) -> None:
        self.next += 1
        self.due = next(self._due, None)

    def _arm(self, now: int) -> None:
        if self._armed or self.due is None or self.under_way >= self.most:
            return
        time = max(self.due, now)
        if time < self.until:
            self._armed = True
            self._at(time, self._go)

    def _go(self, now: int) -> None:
        """Sends who is due, as far as there is room: some may be refused at once."""
        while self.due is not None and self.due <= now and self.under_way < self.most:
            number = self.next
            self._turn()
            self.under_way += 1
            self._send(number, now)
        self._armed = False
        self._arm(now)
