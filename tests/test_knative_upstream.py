"""The numbers of Knative's own tests of its autoscaler (scaling/autoscaler_test.go), asked of ours."""

from __future__ import annotations

from math import floor
from typing import Any, NamedTuple

import pytest

from simulator.autoscaling.knative.asking import Memory, Terms, ask
from simulator.autoscaling.knative.decider import Panic
from simulator.autoscaling.knative.target import Target
from simulator.autoscaling.knative.windows import Buckets
from simulator.quantities import SECOND

USED = 0.75
"""Of what a replica can take, in all of these tests."""


class Look(NamedTuple):
    """What is seen at a tick, and what must come of it."""

    seconds: int
    ready: int
    stable: float
    panic: float
    wanted: int
    since: int | None = -1
    """Panic since; None: no panic; -1: nothing is said of it."""


def terms(target: float, burst: float, **other: Any) -> Terms:
    usual = Terms(
        metric="concurrency",
        algorithm="linear",
        target=Target(target, target / USED),
        window=60 * SECOND,
        panic_window=6 * SECOND,
        threshold=200,
        up=10,
        down=10,
        activation=1,
        delay=0,
        burst=burst,
        reachable=True,
    )
    return usual._replace(**other)


def follow(rules: Terms, looks: list[Look], memory: Memory | None = None) -> None:
    """Asks at each tick with these means, which buckets of one second have."""
    memory = memory or Memory(panic=Panic())  # made with one ready replica, or none
    for look in looks:
        stable, urgent = (Buckets(look.seconds, (mean,)) for mean in (look.stable, look.panic))
        memory, _ = ask(rules, memory._replace(stable=stable, urgent=urgent), look.ready, look.seconds * SECOND)
        assert memory.replicas == look.wanted, look
        assert memory.panic is not None
        if look.since != -1:
            assert memory.panic.since == (None if look.since is None else look.since * SECOND), look
        expected = 0 if rules.burst == 0 else -1
        if rules.burst > 0:
            expected = floor(rules.target.target / USED * look.ready - rules.burst - look.panic)
        assert abs(memory.excess - expected) <= 1  # Knative's own tests allow as much


@pytest.mark.parametrize(
    ("rules", "looks"),
    [
        pytest.param(terms(10, 100), [Look(0, 1, 0, 0, 0)], id="nothing to do"),
        pytest.param(terms(181, -1), [Look(0, 1, 21, 26, 1)], id="unlimited burst"),
        pytest.param(terms(10, 0), [Look(0, 1, 50, 49, 5)], id="no burst"),
        pytest.param(terms(10, 100), [Look(0, 1, 50, 50, 5)], id="no change"),
        pytest.param(terms(10, 100), [Look(0, 5, 50, 50, 5)], id="scaled already"),
        pytest.param(terms(10, 101), [Look(0, 1, 50, 10, 5), Look(0, 1, 100, 10, 10)], id="stable increase"),
        pytest.param(terms(10, 98), [Look(0, 8, 100, 100, 10), Look(0, 8, 50, 50, 5)], id="stable decrease"),
        pytest.param(terms(10, 75), [Look(0, 1, 1, 0, 1), Look(0, 1, 0, 0, 0)], id="to zero"),
        pytest.param(terms(1, 1982, up=1.1), [Look(0, 2, 3, 3.1, 3)], id="small rate up"),
        pytest.param(terms(10, 1982, down=1.1), [Look(0, 100, 1, 1, 90)], id="small rate down"),
        pytest.param(terms(10, 1982, down=1.1, reachable=False), [Look(0, 100, 1, 1, 1)], id="not reachable"),
        pytest.param(terms(10, 84), [Look(0, 1, 50, 100, 10)], id="panic doubles"),
        pytest.param(
            terms(1, 98),
            [Look(0, 10, 11, 25, 25, 0), Look(30, 40, 30, 41, 41, 0), Look(62, 55, 50, 56, 50, None)],
            id="no panic any more after a slow increase",
        ),
        pytest.param(terms(1, 98), [Look(0, 10, 11, 25, 25, 0), Look(30, 40, 30, 80, 80, 30)], id="panic is prolonged"),
        pytest.param(
            terms(1, 101),
            [
                Look(0, 1, 6, 6, 6),
                Look(0, 6, 36, 36, 36, 0),
                Look(1, 36, 216, 216, 216, 1),
                Look(1, 216, 1296, 1296, 1296, 1),
                Look(2, 1296, 1296, 1296, 1296),
            ],
            id="panic tracks an exponential increase",
        ),
        pytest.param(
            terms(10, 93),
            [
                Look(0, 1, 100, 100, 10),
                Look(0, 10, 100, 1000, 100, 0),
                Look(30, 10, 1, 1, 100, 0),
                Look(61, 10, 1, 1, 1, None),
            ],
            id="down after panic",
        ),
        pytest.param(terms(10, 61), [Look(0, 1, 1000, 1001, 10), Look(0, 10, 1000, 1001, 100)], id="rate up"),
        pytest.param(terms(10, 61), [Look(0, 100, 1, 1, 10), Look(0, 10, 1, 1, 1)], id="rate down"),
        pytest.param(terms(10, 81), [Look(0, 0, 1000, 888, 10)], id="none ready counts as one"),
        pytest.param(
            terms(10, 0, threshold=10_000, delay=300 * SECOND),
            [Look(2, 0, 40, 40, 4), Look(300, 0, 0, 0, 4), Look(302, 0, 0, 0, 0)],
            id="delay",
        ),
        pytest.param(
            terms(10, 0, threshold=10_000, delay=300 * SECOND),
            [
                Look(540, 0, 40, 40, 4),
                Look(600, 0, 30, 30, 4),
                Look(660, 0, 0, 0, 4),
                Look(840, 0, 0, 0, 3),
                Look(900, 0, 0, 0, 0),
            ],
            id="delay, bit by bit",
        ),
    ],
)
def test_what_it_comes_to(rules: Terms, looks: list[Look]) -> None:
    follow(rules, looks)


@pytest.mark.parametrize(("stable", "panic", "wanted"), [(50, 30, 50), (20, 30, 30)])
def test_in_panic_the_larger_window_counts(stable: float, panic: float, wanted: int) -> None:
    follow(terms(1, 100), [Look(5, 5, stable, panic, wanted)], Memory(panic=Panic(0, 5)))
