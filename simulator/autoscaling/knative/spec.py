"""What holds for all of a Knative cluster: ConfigMaps, and times that are fixed in the source."""

from __future__ import annotations

from pydantic import Field

from simulator.component import Record
from simulator.quantities import SECOND, Duration, PositiveDuration

TICK = 2 * SECOND
"""Between two decisions."""
BUCKET = SECOND
"""Between two readings; each is a bucket of the windows."""
SHORTEST_WINDOW, LONGEST_WINDOW = 6 * SECOND, 3600 * SECOND
LEAST_TARGET = 0.01


class KnativeController(Record):
    """Keys of the ConfigMaps config-autoscaler and config-deployment that no annotation changes."""

    concurrency_target_default: float = Field(100.0, ge=LEAST_TARGET, le=1e6)
    """container-concurrency-target-default: requests in a replica where neither its limit nor a target is given."""
    rps_target_default: float = Field(200.0, ge=LEAST_TARGET, le=1e6)
    """requests-per-second-target-default: the same with `metric: rps`."""
    max_scale_up_rate: float = Field(1000.0, gt=1, le=1e6)
    """max-scale-up-rate: at a decision at most so many times the replicas that are ready."""
    max_scale_down_rate: float = Field(2.0, gt=1, le=1e6)
    """max-scale-down-rate: no fewer than the ready replicas divided by it."""
    activator_capacity: float = Field(100.0, ge=1, le=1e6)
    """activator-capacity: requests that one activator takes; how many there are tells a decision, nothing else."""
    enable_scale_to_zero: bool = True
    """enable-scale-to-zero: otherwise one replica is always left."""
    scale_to_zero_grace_period: PositiveDuration = 30 * SECOND
    """scale-to-zero-grace-period: so long the activator is in the path before the last replica goes."""
    progress_deadline: Duration = 600 * SECOND
    """progress-deadline of config-deployment (a documented default, not checked against the source)."""
