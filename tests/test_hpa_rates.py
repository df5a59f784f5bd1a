"""What holds a proposal back: windows, rates and the events they look at; the cases of the Kubernetes project too."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.autoscaling.hpa import Behavior, HpaController
from simulator.autoscaling.hpa.rates import (
    Direction,
    Event,
    changed,
    directions,
    down_limit,
    store,
    up_limit,
    within_legacy_cap,
    within_rates,
)
from simulator.autoscaling.hpa.stabilise import Recommendation, between, highest, remember
from simulator.quantities import SECOND

NOW = 100_000 * SECOND
Policy = tuple[str, int, int]
"""Type, value, seconds."""


def rules(*policies: Policy, window: int = 0, select: str = "Max") -> dict[str, Any]:
    written = [{"type": kind, "value": value, "period": f"{period}s"} for kind, value, period in policies]
    return {"policies": written, "window": f"{window}s", "select": select}


def sides(up: dict[str, Any] | None = None, down: dict[str, Any] | None = None) -> tuple[Direction, Direction]:
    return directions(Behavior.model_validate({"scale_up": up, "scale_down": down}), HpaController())


def events(*given: tuple[int, float]) -> tuple[Event, ...]:
    """(change, seconds ago)."""
    return tuple(Event(change, NOW - round(ago * SECOND)) for change, ago in given)


def records(*given: tuple[int, float]) -> tuple[Recommendation, ...]:
    """(replicas, minutes ago)."""
    return tuple(Recommendation(replicas, NOW - round(ago * 60 * SECOND)) for replicas, ago in given)


def rated(
    current: int,
    desired: int,
    bounds: tuple[int, int],
    up: dict[str, Any] | None = None,
    down: dict[str, Any] | None = None,
    ups: tuple[Event, ...] = (),
    downs: tuple[Event, ...] = (),
) -> tuple[int, str]:
    rising, falling = sides(up, down)
    limits = down_limit(current, falling, ups, downs, NOW), up_limit(current, rising, ups, downs, NOW)
    return within_rates(desired, current, bounds, limits)


FIFTEEN = events((1, 100), (5, 60), (9, 20))
TWELVE = events((2, 100), (4, 60), (6, 20))
THIRTY = events((10, 100), (10, 60), (10, 20))
FORTY = events((8, 105), (12, 75), (9, 45), (11, 15))


@pytest.mark.parametrize(
    ("current", "desired", "bounds", "more", "expected"),
    [
        (5, 7, (3, 8), {}, (7, "DesiredWithinRange")),
        (3, 1, (2, 8), {}, (2, "TooFewReplicas")),
        (1, 0, (0, 10), {}, (0, "DesiredWithinRange")),
        (20, 1000, (1, 10), {}, (10, "TooManyReplicas")),
        (100, 1000, (100, 150), {}, (150, "TooManyReplicas")),
        (3, 1000, (1, 2000), {"up": rules(("Percent", 1, 60))}, (4, "ScaleUpLimit")),
        (1000, 3, (3, 2000), {"down": rules(("Pods", 20, 60))}, (980, "ScaleDownLimit")),
        (10, 50, (1, 1000), {}, (20, "ScaleUpLimit")),
        (10, 500, (1, 1000), {"up": rules(("Pods", 100, 60), ("Percent", 100, 60))}, (110, "ScaleUpLimit")),
        (10, 500, (1, 1000), {"up": rules(("Pods", 2, 60), ("Percent", 100, 60))}, (20, "ScaleUpLimit")),
        (10, 50, (1, 1000), {"up": rules(("Pods", 100, 60))}, (50, "DesiredWithinRange")),
        (10, 50, (1, 1000), {"up": rules(("Pods", 10000, 60))}, (50, "DesiredWithinRange")),
        (10, 50, (1, 1000), {"up": rules(("Pods", 30, 60))}, (40, "ScaleUpLimit")),
        (10, 50, (1, 1000), {"up": rules(("Percent", 200, 60))}, (30, "ScaleUpLimit")),
        (100, 2, (1, 1000), {"down": rules(("Pods", 20, 60), ("Percent", 1, 60))}, (80, "ScaleDownLimit")),
        (100, 2, (1, 1000), {"down": rules(("Pods", 2, 60), ("Percent", 1, 60))}, (98, "ScaleDownLimit")),
        (10, 0, (1, 1000), {"down": rules(("Pods", 100, 60))}, (1, "TooFewReplicas")),
        (10, 2, (5, 1000), {"down": rules(("Percent", 100, 60))}, (5, "TooFewReplicas")),
        (10, 2, (1, 1000), {"down": rules(("Pods", 5, 60))}, (5, "ScaleDownLimit")),
        (10, 5, (1, 1000), {"down": rules(("Percent", 50, 60))}, (5, "DesiredWithinRange")),
        (100, 500, (1, 200), {"up": rules(("Pods", 300, 60)), "ups": FIFTEEN}, (200, "TooManyReplicas")),
        (100, 500, (1, 200), {"up": rules(("Percent", 10000, 60)), "ups": FIFTEEN}, (200, "TooManyReplicas")),
        # 120 s ago there were 85; 85 + 5 < 100
        (100, 500, (1, 1000), {"up": rules(("Pods", 5, 120)), "ups": FIFTEEN}, (100, "ScaleUpLimit")),
        (100, 500, (1, 1000), {"up": rules(("Pods", 150, 120)), "ups": FIFTEEN}, (235, "ScaleUpLimit")),
        (100, 500, (1, 1000), {"up": rules(("Percent", 200, 120)), "ups": FIFTEEN}, (255, "ScaleUpLimit")),
        # (6 - 4 + 2) x 4
        (
            6,
            24,
            (1, 1000),
            {"up": rules(("Percent", 300, 300)), "ups": events((4, 60)), "downs": events((2, 60))},
            (16, "ScaleUpLimit"),
        ),
        (10, 5, (1, 1000), {"downs": FIFTEEN}, (5, "DesiredWithinRange")),
        (100, 0, (1, 1000), {"down": rules(("Pods", 115, 120)), "downs": FIFTEEN}, (1, "TooFewReplicas")),
        (100, 0, (5, 1000), {"down": rules(("Pods", 130, 120)), "downs": FIFTEEN}, (5, "TooFewReplicas")),
        (100, 2, (5, 1000), {"down": rules(("Percent", 100, 120)), "downs": FIFTEEN}, (5, "TooFewReplicas")),
        (100, 2, (1, 1000), {"down": rules(("Pods", 5, 120)), "downs": FIFTEEN}, (100, "ScaleDownLimit")),
        (100, 0, (1, 1000), {"down": rules(("Percent", 50, 120)), "downs": TWELVE}, (56, "ScaleDownLimit")),
        # trunc((10 - 2 + 4) x 0.5)
        (
            10,
            1,
            (1, 1000),
            {"down": rules(("Percent", 50, 180)), "ups": events((2, 60)), "downs": events((4, 60))},
            (6, "ScaleDownLimit"),
        ),
        (100, 0, (1, 1000), {"down": rules(("Percent", 10, 120)), "downs": THIRTY}, (100, "ScaleDownLimit")),
        (10, 5, (1, 1000), {"down": rules(("Percent", 1000, 120)), "downs": THIRTY}, (5, "DesiredWithinRange")),
        (100, 200, (1, 1000), {"up": rules(("Pods", 1000, 60)), "ups": FORTY}, (200, "DesiredWithinRange")),
        (100, 5, (1, 1000), {"down": rules(("Pods", 1000, 60)), "downs": FORTY}, (5, "DesiredWithinRange")),
        # Beyond upstream's: what passes through though it is out of bounds, Disabled, Min.
        (20, 20, (1, 10), {}, (20, "DesiredWithinRange")),
        (5, 9, (1, 10), {"up": rules(("Pods", 9, 60), select="Disabled")}, (5, "ScaleUpLimit")),
        (5, 2, (1, 10), {"down": rules(("Pods", 9, 60), select="Disabled")}, (5, "ScaleDownLimit")),
        (5, 2, (1, 10), {"up": rules(("Pods", 9, 60), select="Disabled")}, (2, "DesiredWithinRange")),
        (8, 99, (1, 100), {"up": rules(("Pods", 3, 60), ("Percent", 50, 60), select="Min")}, (11, "ScaleUpLimit")),
        (8, 1, (1, 100), {"down": rules(("Pods", 3, 60), ("Percent", 50, 60), select="Min")}, (5, "ScaleDownLimit")),
        # Up is rounded up: 3 x 1.1 = 3.3; down is cut off: 3 x 0.9 = 2.7
        (3, 99, (1, 100), {"up": rules(("Percent", 10, 60))}, (4, "ScaleUpLimit")),
        (3, 1, (1, 100), {"down": rules(("Percent", 10, 60))}, (2, "ScaleDownLimit")),
    ],
)
def test_rates(
    current: int, desired: int, bounds: tuple[int, int], more: dict[str, Any], expected: tuple[int, str]
) -> None:
    assert rated(current, desired, bounds, **more) == expected


def test_the_smaller_policy_where_it_is_selected() -> None:
    up, down = sides(
        rules(("Pods", 2, 60), ("Percent", 50, 60), select="Min"),
        rules(("Pods", 2, 60), ("Percent", 50, 60), select="Min"),
    )
    assert up_limit(1, up, (), (), NOW) == 2
    assert down_limit(5, down, (), (), NOW) == 3


def test_a_percentage_beyond_all_goes_below_zero() -> None:
    # (10 + 30) x (1 - 10) = -360
    assert down_limit(10, sides(down=rules(("Percent", 1000, 120)))[1], (), THIRTY, NOW) == -360


@pytest.mark.parametrize(
    ("current", "desired", "bounds", "expected"),
    [
        (5, 7, (3, 8), (7, "DesiredWithinRange")),
        (3, 1, (2, 8), (2, "TooFewReplicas")),
        (1, 0, (0, 10), (0, "DesiredWithinRange")),
        (20, 1000, (1, 10), (10, "TooManyReplicas")),
        (3, 1000, (1, 2000), (6, "ScaleUpLimit")),
        (1, 1000, (1, 2000), (4, "ScaleUpLimit")),
        (2, 5, (1, 2000), (4, "ScaleUpLimit")),
        (4, 8, (1, 8), (8, "DesiredWithinRange")),
        (100, 1, (1, 200), (1, "DesiredWithinRange")),
    ],
)
def test_without_behavior_there_is_only_a_cap(
    current: int, desired: int, bounds: tuple[int, int], expected: tuple[int, str]
) -> None:
    assert within_legacy_cap(desired, current, bounds) == expected


@pytest.mark.parametrize(
    ("before", "longest", "within", "after"),
    [
        ((), 60, 0, [5]),
        (((7, 61),), 60, 0, [5]),
        (((7, 58),), 60, 7, [7, 5]),
        (((7, 61), (6, 59)), 60, 6, [5, 6]),
        (((8, 29), (6, 59), (7, 61), (9, 61)), 60, 14, [8, 6, 7, 5]),
        (((7, 58), (6, 59)), 120, 13, [7, 6, 5]),
        (((7, 60),), 60, 0, [7, 5]),  # exactly as old: it no longer counts, and is not outdated
    ],
)
def test_an_event_takes_the_place_of_the_last_outdated_one(
    before: tuple[tuple[int, float], ...], longest: int, within: int, after: list[int]
) -> None:
    assert changed(events(*before), 60 * SECOND, NOW) == within
    kept = store(events(*before), 5, NOW, longest * SECOND)
    assert [event.change for event in kept] == after


def test_an_event_that_was_replaced_is_lost_to_the_other_direction() -> None:
    # Up looks back 60 s, down 300 s: the 7 added 100 s ago are forgotten when 5 more are added.
    before = events((7, 100))
    down = sides(down=rules(("Pods", 2, 300)))[1]
    assert down_limit(20, down, before, (), NOW) == 11  # 20 - 7 - 2
    assert down_limit(20, down, store(before, 5, NOW - 1, 60 * SECOND), (), NOW) == 13  # 20 - 5 - 2


@pytest.mark.parametrize(
    ("before", "proposal", "expected", "length"),
    [
        ((), 5, 5, 1),
        (((4, 2), (5, 1)), 3, 5, 3),
        (((1, 2), (2, 1)), 3, 3, 3),
        (((10, 10), (9, 9)), 3, 3, 2),
        (((10, 10), (4, 1), (5, 2), (9, 9)), 3, 5, 4),
        (((9, 5),), 3, 9, 2),  # exactly as old as the window: without behavior it is inside
        (((9, 5.001),), 3, 3, 1),
    ],
)
def test_without_behavior_the_highest_of_five_minutes_counts(
    before: tuple[tuple[int, float], ...], proposal: int, expected: int, length: int
) -> None:
    window = 300 * SECOND
    assert highest(records(*before), proposal, NOW, window) == expected
    assert len(remember(records(*before), proposal, NOW, window)) == length


@pytest.mark.parametrize(
    ("before", "current", "proposal", "windows", "expected", "after"),
    [
        ((), 100, 5, (0, 0), 5, [5]),
        (((4, 2), (5, 1)), 100, 3, (0, 180), 5, [4, 5, 3]),
        (((4, 2), (5, 1)), 1, 7, (300, 0), 4, [4, 5, 7]),
        (((1, 2), (2, 1)), 100, 3, (300, 0), 3, [1, 2, 3]),
        (((4, 2), (5, 1)), 1, 3, (0, 300), 3, [4, 5, 3]),
        (((10, 10), (9, 9)), 100, 3, (0, 0), 3, [10, 3]),
        (((10, 10), (9, 9)), 1, 100, (0, 0), 100, [10, 100]),
        (((10, 10), (4, 1), (5, 2), (9, 9)), 100, 3, (0, 180), 5, [10, 4, 5, 3]),
        (((10, 100), (6, 1), (5, 2), (9, 3)), 1, 100, (300, 0), 5, [100, 6, 5, 9]),
        (((2, 100), (3, 3)), 2, 1, (300, 300), 2, [1, 3]),
        (((2, 100), (1, 3)), 2, 3, (300, 300), 2, [3, 1]),
        # exactly as old as the window: with behavior it is out, and its place is not taken
        (((9, 5),), 9, 3, (0, 300), 3, [9, 3]),
    ],
)
def test_with_behavior_both_windows_count(
    before: tuple[tuple[int, float], ...],
    current: int,
    proposal: int,
    windows: tuple[int, int],
    expected: int,
    after: list[int],
) -> None:
    up, down = (seconds * SECOND for seconds in windows)
    assert between(records(*before), proposal, current, NOW, up, down) == expected
    kept = remember(records(*before), proposal, NOW, max(up, down))
    assert [one.replicas for one in kept] == after


def test_each_field_that_is_not_given_has_its_default() -> None:
    up, down = sides()
    assert (up.window, up.select, [(one.type, one.value) for one in up.policies]) == (
        0,
        "Max",
        [("Pods", 4), ("Percent", 100)],
    )
    assert (down.window, down.select, [(one.type, one.value) for one in down.policies]) == (
        300 * SECOND,
        "Max",
        [("Percent", 100)],
    )
    up, down = sides({"window": "10s"}, {"policies": [{"type": "Pods", "value": 1, "period": "60s"}], "window": "0s"})
    assert (up.window, len(up.policies)) == (10 * SECOND, 2)
    assert (down.window, [one.value for one in down.policies]) == (0, [1])
