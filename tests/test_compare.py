"""Three decisions that queueing formulas make, and what the comparison says of them.

One fast server against several slow ones, Poisson arrivals, exponential service, one queue.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scenarios.compare import Comparison, compare, latency_difference
from scenarios.decision import sentence, winner
from scenarios.load import Loaded, validate
from scenarios.lookup import Files
from scenarios.strategies import vertical
from simulator.figures.precision import settled
from simulator.figures.replications import run_case
from simulator.quantities import SECOND
from simulator.theory import MMC


def question(fast: dict[str, Any], slow: dict[str, Any], slo: str, rate: str = "8/s", **extra: Any) -> Loaded:
    """A scenario that runs one slow server now; `fast` and `slow` are (mean service time, price)."""
    data = {
        "schema_version": 1,
        "title": "One fast server or several slow ones?",
        "workloads": {"load": {"model": "m", "arrivals": {"kind": "poisson", "rate": rate}}},
        "models": {
            "m": {
                "type": "deep",
                "memory": "1GiB",
                "stages": [
                    {
                        "pool": "serving",
                        "service": {
                            name: {"kind": "exponential", "per_request": kind["takes"], "level": kind["level"]}
                            for name, kind in (("slow", slow), ("fast", fast))
                        },
                    }
                ],
            }
        },
        "pools": {"serving": {"instance": "slow", "balancer": "central_queue"}},
        "instances": {
            name: {"price": kind["price"], "cores": 1, "memory": "2GiB"}
            for name, kind in (("slow", slow), ("fast", fast))
        },
        "slos": [slo],
        "run": {"duration": "4200s", "warmup": "200s", "replications": 10},
        "seed": 5,
    }
    return Loaded(validate(data | extra), Files(Path()), "test")


def server(takes: str, price: str, level: str = "measured") -> dict[str, Any]:
    return {"takes": takes, "price": price, "level": level}


BOTH = ("vertical", "horizontal")


@functools.cache
def standard() -> Comparison:
    """Fast: 10/s at $8. Slow: 1/s at $1. Both strategies."""
    return compare(question(server("100ms", "$8/h"), server("1s", "$1/h"), "p99(latency)<4.7s"), BOTH)


def test_vertical_wins() -> None:
    """Fast: 10/s at $8. Slow: 1/s at $1. p99 < 4.7 s.

    One fast server: T is exponential with rate 2, p99 = ln(100) / 2 = 2.30 s, meets it at $8. Slow ones need 10
    (p99 4.95 s) or more, and even 11 give 4.72 s: the cheapest is 12 at $12.
    """
    assert MMC(8, 10, 1).latency_quantile(0.99) == pytest.approx(2.30, abs=0.01)
    assert MMC(8, 1, 11).latency_quantile(0.99) > 4.7 > MMC(8, 1, 12).latency_quantile(0.99)
    found = standard()
    best = winner(found)
    assert best is not None
    assert (best.strategy, best.label) == ("vertical", "1 x fast")
    assert sentence(found).startswith("1 x fast (vertical) is the cheapest that meets p99(latency)<4.7s: $8.00/h")
    rival = min(
        (o for o in found.options if o.strategy == "horizontal" and o.result and o.result.met), key=lambda o: o.cost
    )
    assert rival.label == "12 x slow"
    assert "12 x slow, costs 50% more" in sentence(found)


def test_horizontal_wins() -> None:
    """The same servers, but the fast one costs $14: now 10 slow ones at $10 meet p99 < 5.2 s for less.

    Nine slow servers (p99 5.76 s) do not.
    """
    assert MMC(8, 1, 9).latency_quantile(0.99) > 5.2 > MMC(8, 1, 10).latency_quantile(0.99)
    found = compare(question(server("100ms", "$14/h"), server("1s", "$1/h"), "p99(latency)<5.2s"), BOTH)
    best = winner(found)
    assert best is not None
    assert (best.strategy, best.label) == ("horizontal", "10 x slow")
    assert "The cheapest vertical option that does, 1 x fast, costs 40% more ($14.0/h)." in sentence(found)


def test_none_meets() -> None:
    """p99 < 1 s: the fast server reaches 2.30 s; with any number of slow ones service alone has p99 = 4.61 s."""
    found = compare(question(server("100ms", "$8/h"), server("1s", "$1/h"), "p99(latency)<1s"), BOTH)
    assert winner(found) is None
    assert sentence(found).startswith("None of the ")
    assert "the closest is 1 x fast at $8.00/h, p99 2." in sentence(found)


def test_the_simulated_p99_agrees_with_the_formula_in_each_option() -> None:
    found = standard()
    for option in found.options:
        if option.result is None:
            continue
        replicas = option.scenario.pools["serving"].replicas
        rate = 10.0 if "fast" in option.label else 1.0
        exact = MMC(8, rate, replicas).latency_quantile(0.99)
        estimate = option.result.percentile(0.99)
        assert estimate.value is not None
        assert estimate.high is not None
        standard_error = (estimate.high - estimate.value) / 2
        assert abs(estimate.value - exact) < 4 * standard_error, option.label


def test_a_winner_on_assumed_figures_is_undecided() -> None:
    asked = question(server("100ms", "$8/h", "assumed"), server("1s", "$1/h"), "p99(latency)<4.7s")
    found = compare(asked, BOTH)
    assert winner(found) is None
    assert sentence(found).startswith("Undecided: 1 x fast would be the cheapest")
    assert "its service times are assumed: measure the model of pool serving on fast" in sentence(found)


def test_a_run_too_short_for_an_interval_still_shows_a_clear_miss() -> None:
    """9 slow servers at 89 % load need long runs; but no replication comes near 1 s."""
    short = {"duration": "500s", "warmup": "50s", "replications": 10}
    found = compare(question(server("100ms", "$8/h"), server("1s", "$1/h"), "p99(latency)<1s", run=short), BOTH)
    near = next(option for option in found.options if option.label == "9 x slow")
    assert near.result is not None
    assert not near.result.percentile(0.99).sure
    assert near.result.met is False


def test_options_beyond_their_capacity_are_named_not_simulated() -> None:
    found = standard()
    assert found.current.result is not None
    assert found.current.result.stability == "overloaded"
    assert found.current.result.percentile(0.99).value is None
    notes = {option.label: option.note for option in found.options if option.result is None}
    assert notes["1 x slow"] == "overloaded: 800% of capacity"
    assert notes["8 x slow"] == "overloaded: 100% of capacity"


def test_differences_are_paired_and_surer_than_the_figures() -> None:
    results = {option.label: option.result for option in standard().options if option.result}
    first, second = results["11 x slow"], results["12 x slow"]
    paired = latency_difference(first, second, 0.99).estimate()
    assert (paired.high or 0) < 0
    widths = [(e.high or 0) - (e.low or 0) for e in (paired, first.percentile(0.99), second.percentile(0.99))]
    assert widths[0] < (widths[1] ** 2 + widths[2] ** 2) ** 0.5 / 2


def test_differences_are_right_all_at_once() -> None:
    """Bonferroni: of m options each has 1 - 5 % / m; the reference itself differs by nothing and does not count."""
    found = standard()
    base = found.reference.result
    others = {id(o.result): o for o in found.options if o.result is not None and o.result is not base}
    family = [o for o in others.values() if o.difference.sure]
    assert len(family) >= 3
    assert base is not None
    for option in family:
        assert option.result is not None
        alone = latency_difference(base, option.result, found.quantile)
        assert option.difference == alone.estimate(1 - 0.05 / len(family))
        assert option.difference.half_width > alone.estimate().half_width
        assert option.differs is (alone.p_value() < 0.001)
    same = next(option for option in found.options if option.result is base)
    assert (same.difference.value, same.difference.half_width, same.differs) == (0, 0, False)


def test_with_a_precision_each_option_is_repeated_until_it_is_settled() -> None:
    """One fast server's p99 is 2.3026 s: 2.5 s is settled later than 4.7 s; 2.3026 s never, but precise at +- 10 %."""
    counts = []
    for target in ("4.7s", "2.5s", "2.3026s"):
        run = {"duration": "1100s", "warmup": "100s", "replications": 10, "precision": "10%"}
        asked = question(server("100ms", "$8/h"), server("1s", "$100/h"), f"p99(latency)<{target}", run=run)
        found = compare(asked, ["vertical"])
        fast = next(option for option in found.options if option.label == "1 x fast")
        assert fast.result is not None
        counts.append(len(fast.result.replications))
        assert settled(fast.result)
        assert found.current.result is not None
        assert len(found.current.result.replications) == 10, "overloaded: more cannot help"
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]
    assert fast.result is not None
    assert fast.result.met is None
    assert fast.result.percentile(0.99).half_width < 0.1 * 2.4


def test_differences_of_unequal_runs_use_what_both_have() -> None:
    """Ten replications against twenty, measured from other times on: the ten, from the later time."""
    loaded = question(server("100ms", "$8/h"), server("90ms", "$1/h"), "p99(latency)<9s")
    case = loaded.case()
    quick = {name: replace(case, pools=(replace(case.pools[0], replicas=n),)) for name, n in (("one", 1), ("two", 2))}
    first = run_case(replace(quick["one"], warmup=300 * SECOND, replications=10))
    second = run_case(replace(quick["two"], replications=20))
    found = latency_difference(first, second, 0.99)
    same = run_case(replace(quick["two"], warmup=300 * SECOND, replications=10))
    assert found == latency_difference(first, same, 0.99)
    assert not found.reason


def test_without_objectives_nothing_is_ruled_out() -> None:
    asked = question(server("100ms", "$8/h"), server("1s", "$1/h"), "p99(latency)<5s", slos=[])
    assert sentence(compare(asked, ["vertical"])).startswith("No objective is given, so nothing is ruled out")


def test_an_interval_across_the_target_settles_nothing() -> None:
    """The exact p99 of the fast server is 2.3026 s: a target right there cannot be settled by a short run."""
    asked = question(server("100ms", "$8/h"), server("1s", "$100/h"), "p99(latency)<2.3026s")
    found = compare(asked, ["vertical"])
    assert winner(found) is None
    assert sentence(found).startswith("Undecided: 1 x fast at $8.00/h may do, but the interval")


def test_in_a_pipeline_the_bottleneck_is_scaled() -> None:
    """8/s through a pool at 80 % and one at 133 %: only the second is changed, and 2 of it are enough."""
    asked = question(server("100ms", "$8/h"), server("100ms", "$1/h"), "p95(latency)<10s").scenario.model_dump(
        mode="json"
    )
    asked["models"]["m"]["stages"] = [
        {"pool": name, "service": {"slow": {"kind": "exponential", "per_request": takes, "level": "measured"}}}
        for name, takes in (("first", "100ms"), ("second", "166ms"))
    ]
    asked["pools"] = {name: {"instance": "slow", "balancer": "central_queue"} for name in ("first", "second")}
    found = compare(Loaded(validate(asked), Files(Path()), "test"), BOTH)
    best = winner(found)
    assert best is not None
    assert best.label == "first: 1 x slow, second: 2 x slow"
    assert {option.scenario.pools["first"].replicas for option in found.options} == {1}


def test_a_pool_of_several_stages_goes_only_to_machines_that_all_of_them_know() -> None:
    asked = question(server("0.1s", "$2/h"), server("0.2s", "$1/h"), "p99(latency)<9s").scenario.model_dump(mode="json")
    (first,) = asked["models"]["m"]["stages"]
    second = {**first, "name": "second", "service": {"slow": first["service"]["slow"]}}
    asked["models"]["m"]["stages"] = [first, second]
    assert list(vertical(validate(asked), "serving")) == ["1 x slow"]
    asked["models"]["m"]["stages"] = [first, {**first, "name": "second"}]
    assert list(vertical(validate(asked), "serving")) == ["1 x slow", "1 x fast"]
