"""An HPA at work: what it sees of a pool, and what the pool does."""

from __future__ import annotations

from typing import Any

from cases import case, pool, replay, takes
from laws_of import lawful

from simulator.autoscaling import Hpa
from simulator.quantities import SECOND
from simulator.run.engine import simulate
from simulator.run.lives import ScalingRecord

QUEUE = {"source": "external", "name": "queue", "average_value": 2, "reads": {"signal": "queue", "scrape": "15s"}}


def hpa(*metrics: dict[str, Any], **fields: Any) -> Hpa:
    return Hpa.model_validate({"max_replicas": 10, "metrics": metrics or (QUEUE,)} | fields)


def told(records: tuple[ScalingRecord, ...]) -> list[tuple[int, int, int, str]]:
    """(seconds, before, wanted, the metric in words)."""
    return [(one.time // SECOND, one.before, one.desired, one.reason.partition(";")[0]) for one in records]


def test_a_queue_is_worked_off_by_replicas_that_start_slowly() -> None:
    # Nine requests of 100 s: one is served, eight wait. 8 / 2 = 4, the cap of a single replica too.
    one = pool(takes("0s", "100s"), autoscaler=hpa(), cold_start=20.0)
    run = simulate(case(replay(0, *[1] * 8), one, seconds=70), 0)
    assert told(run.pools[0].scaling)[:4] == [
        (15, 1, 4, "queue 8 / (2 x 1 replicas) = 4: 4"),
        (30, 4, 4, "queue 8 / (2 x 4 replicas) = 1: 4, inside tolerance"),
        (45, 4, 4, "queue 5 / (2 x 4 replicas) = 0.625: 3"),  # at 35 s three more were ready, and took one each
        (105, 4, 4, "queue 4 / (2 x 4 replicas) = 0.5: 2"),  # the first ended at 100 s
    ]
    assert [record.ready for record in run.pools[0].replicas] == [0, 35 * SECOND, 35 * SECOND, 35 * SECOND]
    assert run.pools[0].scaling[2].limits == ("stabilisation",)


def test_pods_that_start_are_missing_or_unready() -> None:
    # A replica that works has utilisation 1 = 100 % of 50 %: 2 are wanted of 1, and the cap is 4.
    cpu = {"source": "resource", "name": "cpu", "utilization": 50, "request": "1", "reads": {"signal": "utilisation"}}
    one = pool(takes("0s", "100s"), autoscaler=hpa(cpu), cold_start=20.0)
    run = simulate(case(replay(0, *[1] * 8), one, seconds=70), 0)
    assert told(run.pools[0].scaling)[:3] == [
        (15, 1, 2, "cpu 100% / 50% = 2 x 1 pods: 2"),
        # The new one has no machine yet, is Pending, and counts as 0: 100 // 2 = 50 %.
        (30, 2, 2, "cpu 100% / 50% = 2, 1 with 1 unready x 2 pods: 2, inside tolerance"),
        # It is ready since 35 s and was read at 45 s, which is not a whole window of 15 s.
        (45, 2, 2, "cpu 100% / 50% = 2, 1 with 1 unready x 2 pods: 2, inside tolerance"),
    ]
    assert told(run.pools[0].scaling)[3] == (60, 2, 4, "cpu 100% / 50% = 2 x 2 pods: 4")


def test_to_zero_and_back() -> None:
    rules = {"behavior": {"scale_down": {"window": "0s"}}, "controller": {"scale_to_zero": True}, "min_replicas": 0}
    one = pool(takes("0s", "1s"), autoscaler=hpa(**rules), cold_start=10.0)
    run = simulate(case(replay(0, 200, 201), one, seconds=202), 0)
    assert [(time, wanted) for time, _, wanted, _ in told(run.pools[0].scaling)] == [(15, 0), (30, 0), (210, 1)]
    # At 210 s two wait: 2 / 2 = 1 replica; it is ready at 220 s, when the first has waited 20 s.
    assert (run.latency / SECOND).tolist() == [1, 21, 21]


def test_an_hpa_obeys_the_laws() -> None:
    lawful(case(replay(0, *[1] * 8), pool(takes("0s", "7s"), autoscaler=hpa(behavior={}), cold_start=20.0), seconds=70))
