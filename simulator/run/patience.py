"""Patience: when clients leave a queue."""

from __future__ import annotations

from math import ceil

from simulator.quantities import NEVER
from simulator.run.tape import Tape


class Patience:
    """When clients leave the queue."""

    def __init__(self, tape: Tape, timeouts: list[int | None]) -> None:
        self.arrived, self.workload, self.patience = tape.arrived, tape.workload, tape.patience
        self.timeouts = [float("inf") if timeout is None else timeout for timeout in timeouts]

    def leaves(self, request: int) -> int:
        """When the client of a request that waits goes."""
        waits = self.timeouts[self.workload[request]]
        if self.patience is not None:
            waits = min(waits, self.patience[request])
        return self.arrived[request] + ceil(min(waits, NEVER))

    def over(self, request: int, now: int) -> bool:
        """Whether the client of a request that waits has gone by now."""
        waited = now - self.arrived[request]
        if self.patience is not None and waited >= self.patience[request]:
            return True
        return waited >= self.timeouts[self.workload[request]]
