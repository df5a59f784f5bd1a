"""What a server adds to its device: the ways there and back, the gaps between batches, and a slower device.

Each is calibrated as a cause of its own: from bursts on an idle server (`schedule.probing`) that bring about batches
of every size, from a light load and from a saturated server; never from the runs that are predicted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.optimize import nnls

from calibration.live.canary import Alone
from calibration.live.client import Log
from calibration.live.course import OK, Executions
from calibration.live.servers import Setup
from calibration.live.servers.mosec import CAPACITY, TIMEOUT_MS
from simulator.batching import Mosec, Scheduler, Triton
from simulator.component import Record
from simulator.errors import MeasurementError

TICK = 1_000_000
"""mosec's timers end at a tick of a millisecond, and its sleep is rounded up to one more: so late they are on average.

The simulator's mosec knows of the ticks, which are half of it."""
HAND_OVER = 300_000
"""Of mosec, from the closing of a batch until it starts: as documented, for it is not seen from outside."""
WAKE = 50_000
"""Of Triton, until its batcher looks, and until an idle instance takes a payload: as documented."""
AFTER_TAKING = 0.3
"""Of Triton's gap: what comes after the instance has taken the next payload."""
IDLE = 5_000_000
"""A server that has done nothing for so long is idle."""


class Causes(Record):
    """Nanoseconds that a request or a batch takes besides the device's own work."""

    forward: float = Field(ge=0)
    """From the client until the device starts, on an idle server that need not wait for more."""
    late: float
    """How much longer than max_delay a batch waits whose time is over: timers are late."""
    back: float = Field(ge=0)
    """From the end of the batch until the client has the reply..."""
    back_per_request: float = Field(ge=0)
    """...and more of it for each request of the batch."""
    gap: float = Field(ge=0)
    """From the end of a batch until the next one starts that was complete by then..."""
    gap_per_previous: float = Field(ge=0)
    """...more of it for each request of the batch that ended..."""
    gap_per_next: float = Field(ge=0)
    """...and of the one that starts."""
    service_ratio: float = Field(gt=0)
    """How much slower the device is in the server than alone."""
    pairs: int
    """Batches from which the gaps were taken."""
    batcher_first: float = Field(0, ge=0, le=1)
    """Of Triton: how often its batcher still adds to the next batch when an execution returns."""

    def batching(self, setup: Setup) -> Scheduler:
        """The server's own rule, with these times in it."""
        after = {"gap_per_previous": self.gap_per_previous, "gap_per_next": self.gap_per_next}
        fields: dict[str, float]
        limits: dict[str, int | float | str]
        kind: type[Scheduler]
        if setup.server == "triton":
            kind, known = Triton, WAKE
            fields = {"gap": self.gap, **after, "batcher_wake": WAKE, "instance_wake": WAKE}
            limits = {"p_batcher_first": self.batcher_first}
        else:
            kind, known = Mosec, TICK // 2
            limits = {"capacity": CAPACITY, "queue_timeout": f"{TIMEOUT_MS}ms"}
            hand_over = self.hand_over(setup)
            fields = {"hand_over": hand_over, "turn_around": self.gap - hand_over}
            fields["turn_around_per_request"] = self.gap_per_previous
        fields["max_delay"] = setup.max_delay and setup.max_delay + max(0, self.late - known)
        written = {name: f"{round(value)}ns" for name, value in fields.items()}
        return kind.model_validate({"max_batch": setup.max_batch, **limits, **written})

    def hand_over(self, setup: Setup) -> float:
        """What of the way to the device comes after the batch is closed."""
        if setup.server == "triton":
            return 2 * WAKE + AFTER_TAKING * self.gap + self.gap_per_next
        return min(HAND_OVER, self.gap, self.forward)

    def there(self, setup: Setup) -> int:
        """From the client to the server's queue."""
        return max(0, round(self.forward - self.hand_over(setup)))


def calibrate(
    bursts: Log, light: Log, setup: Setup, alone: Alone, saturated: Log | None = None, races: Log | None = None
) -> Causes:
    """The causes: the ways from a run at light load, the gaps from one of `schedule.probing`.

    Where there is a saturated run too, it tells of gaps between full batches and of their ways back; one of
    `schedule.racing` tells who is faster when an execution returns. Raises MeasurementError where the runs show too
    little.
    """
    found = Executions.of(bursts)
    if not len(found.size):
        raise MeasurementError("the server answered none of the requests that it was calibrated with")
    late = float(TICK) if setup.server == "mosec" and _waits(setup) else 0.0
    forward = _forward(Executions.of(light), setup, late)
    more = [saturated] if saturated else []
    gaps, previous, following = np.hstack([_gaps(Executions.of(log), setup, forward) for log in (bursts, *more)])
    if not len(gaps):
        raise MeasurementError("the server never ran two batches without a pause, so its gaps are not known")
    columns = [previous, following] if setup.server == "triton" else [previous]
    gap, per_previous, *per_next = _line(gaps, *columns)
    back, per_request = _line(*np.hstack([_back(log) for log in (light, *more)]))
    return Causes(
        forward=forward,
        late=late,
        back=back,
        back_per_request=per_request,
        gap=gap,
        gap_per_previous=per_previous,
        gap_per_next=per_next[0] if per_next else 0.0,
        service_ratio=_ratio(found, alone),
        pairs=len(gaps),
        batcher_first=_batcher_first(races, setup) if races else 0.0,
    )


def _waits(setup: Setup) -> bool:
    return setup.max_delay > 0 and setup.max_batch > 1


def _forward(found: Executions, setup: Setup, late: float) -> float:
    """The way of a request that was alone to an idle server, without the wait for more."""
    idle = np.concatenate([[True], ~found.followed() | (found.first_sent[1:] > found.end[:-1] + IDLE)])[
        : len(found.size)
    ]
    due = idle & (found.size == 1)
    if not due.any():
        raise MeasurementError("no request was alone on an idle server, so the way to it is not known")
    waited = float(np.median((found.start - found.first_sent)[due]))
    return max(0.0, waited - (setup.max_delay + late if _waits(setup) else 0))


def _batcher_first(log: Log, setup: Setup) -> float:
    """The share of rounds of `schedule.racing` in which the last request was added to the batch of the one before."""
    rounds = {name: log[name].reshape(-1, setup.max_batch + 2) for name in ("status", "start", "end", "size")}
    full, alone, late = 0, setup.max_batch, setup.max_batch + 1
    begun = rounds["start"]
    # As planned: a full batch, during which the other two came.
    seen = (rounds["status"] == OK).all(axis=1) & (rounds["size"][:, full] == setup.max_batch)
    seen &= begun[:, alone] >= rounds["end"][:, full]
    if not seen.any():
        raise MeasurementError("no burst went as planned, so it is not known who is faster when an execution returns")
    return float(np.mean((begun[:, alone] == begun[:, late])[seen]))


def _back(log: Log) -> npt.NDArray[np.int64]:
    """Of the answered requests: the ways back, and the sizes of their batches."""
    answered = (log["status"] == OK) & (log["batch"] >= 0)
    return np.stack([(log["done"] - log["end"])[answered], log["size"][answered]])


def _gaps(found: Executions, setup: Setup, forward: float) -> npt.NDArray[np.int64]:
    """Of pairs of batches without a pause: the gaps, the sizes before and after them."""
    pure = pure_gaps(found, setup, forward)
    return np.stack([found.start[1:] - found.end[:-1], found.size[:-1], found.size[1:]])[:, pure]


def pure_gaps(found: Executions, setup: Setup, forward: float) -> npt.NDArray[np.bool_]:
    """By pair of batches: whether the second one was only waiting for the first to end."""
    complete = found.last_sent[1:] + forward
    full = found.size[1:] == setup.max_batch
    if setup.max_delay and setup.server == "mosec":
        staged = full
    else:
        staged = full | (complete + setup.max_delay < found.end[:-1])
    pure: npt.NDArray[np.bool_] = found.followed() & staged & (complete < found.end[:-1])
    return pure


def _line(times: npt.NDArray[np.int64], *sizes: npt.NDArray[np.int64]) -> list[float]:
    """Constant and slopes, none below zero, through the medians of equal sizes: stalls of the host do not move them.

    A median counts by the root of how many it is of, as its error falls.
    """
    cells, which, counts = np.unique(np.stack(sizes, axis=1), axis=0, return_inverse=True, return_counts=True)
    medians = np.array([np.median(times[which == cell]) for cell in range(len(cells))])
    weights = np.sqrt(counts)
    terms = np.column_stack([np.ones(len(cells)), cells])
    coefficients, _ = nnls(terms * weights[:, None], medians * weights)
    return [float(value) for value in coefficients]


def _ratio(found: Executions, alone: Alone) -> float:
    took = found.took(alone.clock)
    ratios = [np.median(took[found.size == size]) / alone.median(size) for size in alone.times if size in found.size]
    return float(np.median(ratios))
