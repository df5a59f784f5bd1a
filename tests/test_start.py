"""How replicas start, step by step, worked out by hand. Times in milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from laws_of import lawful
from test_engine import MS
from test_load import complaint, saved
from test_machines import lives, planned, ran

from scenarios.load import format_scenario, load, validate
from scenarios.yamlfile import parse_yaml
from simulator.autoscaling import Schedule
from simulator.faults import MachineFailures
from simulator.figures.levers import levers
from simulator.figures.reaction import REACTION
from simulator.figures.replications import run_case
from simulator.figures.scaling import scaling
from simulator.run.recording import Replication
from simulator.start import Probe, Start, Step
from simulator.streams import Draws

CHAIN = {
    "provision": "50ms",
    "image": {"mean": "20ms", "kept": True},
    "weights": {"mean": "60ms", "kept": True},
    "warm_up": "5ms",
    "probe": {"initial_delay": "10ms", "period": "25ms", "successes": 2},
    "endpoint": "3ms",
}


def begun(**fields: Any) -> Start:
    return Start.model_validate(fields)


def steps(run: Replication) -> list[dict[str, int]]:
    return [{name: time // MS for name, time in one.steps} for one in run.pools[0].replicas]


def test_a_start_takes_its_steps_one_after_the_other() -> None:
    """Three are wanted at 100 and four at 200, two on a machine; the first machine keeps what the first replica has.

    - beside the first at 100: container 100, up at 105; probes at 110 and 135: ready at 135, known at 138.
    - on a new machine: started 150, container 170, weights there 230, up at 235; of the probes at 180, 205, 230, 255
      the one at 255 is the first to succeed: ready at 280, known at 283.
    - beside that at 200: container at once; it waits until 230 for the weights that are on their way, up at 235; the
      probes at 235 (of 210, 235) and 260 succeed: known at 263, before the one that fetched them.
    """
    asked = planned(3, 4, 4, per_machine=2, start=begun(**CHAIN), cold_start=0)
    run = ran(asked)
    assert lives(run) == [(0, 0, 0), (0, 100, 138), (1, 100, 283), (1, 200, 263)]
    assert steps(run) == [
        {},
        {"image": 0, "weights": 0, "warm-up": 5, "probe": 30, "endpoint": 3},
        {"image": 20, "weights": 60, "warm-up": 5, "probe": 45, "endpoint": 3},
        {"image": 0, "weights": 30, "warm-up": 5, "probe": 25, "endpoint": 3},
    ]
    lawful(asked)


def test_what_a_machine_does_not_keep_is_fetched_by_each_replica() -> None:
    start = begun(**{**CHAIN, "image": "20ms", "weights": "60ms"})
    run = ran(planned(3, 4, 4, per_machine=2, start=start, cold_start=0))
    assert [(one["image"], one["weights"]) for one in steps(run)[1:]] == [(20, 60)] * 3


@pytest.mark.parametrize(
    ("up", "delay", "successes", "ready"),
    [
        (0, 0, 1, 0),  # the first probe finds it up
        (1, 0, 1, 10),
        (10, 0, 1, 10),
        (11, 0, 1, 20),
        (11, 0, 3, 40),
        (3, 15, 1, 15),  # nobody asks before the delay is over
        (16, 15, 1, 25),
        (15, 15, 2, 25),
    ],
)
def test_a_probe_notices_at_its_next_tick(up: int, delay: int, successes: int, ready: int) -> None:
    """Probes come at delay, delay + 10, delay + 20 ... from the start of the container."""
    probe = Probe.model_validate({"initial_delay": f"{delay}s", "period": "10s", "successes": successes})
    assert probe.ready(7_000 * MS, (7_000 + 1000 * up) * MS) == (7_000 + 1000 * ready) * MS


def test_the_defaults_of_a_probe_are_kubernetes() -> None:
    probe = Probe()
    assert (probe.initial_delay, probe.period, probe.successes) == (0, 10_000 * MS, 1)


def test_times_by_median_and_p95_have_them() -> None:
    """Of 4,000 draws half are below the median and 95 % below the p95, and the mean is exp(sigma^2 / 2) times the
    median with sigma = ln(p95 / median) / 1.645, each within 4 standard errors.
    """
    step, draws, count = Step.model_validate({"median": "40s", "p95": "2m"}), Draws(5, 0), 4000
    times = np.array([step.time(draws, "gpus/weights", number) for number in range(count)]) / (1000 * MS)
    for bound, share in ((40, 0.5), (120, 0.95)):
        assert abs((times < bound).mean() - share) < 4 * np.sqrt(share * (1 - share) / count)
    mean = 40 * np.exp((np.log(3) / 1.6448536) ** 2 / 2)
    assert step.average() / (1000 * MS) == pytest.approx(mean)
    assert abs(times.mean() - mean) < 4 * times.std() / np.sqrt(count)
    assert times[17] == step.time(draws, "gpus/weights", 17) / (1000 * MS)  # whatever was drawn before
    assert times[17] != step.time(draws, "others/weights", 17) / (1000 * MS)


def test_a_hit_takes_no_time() -> None:
    step, draws, count = Step.model_validate({"mean": "40s", "hit": "30%"}), Draws(5, 0), 2000
    times = [step.time(draws, "gpus/image", number) for number in range(count)]
    assert set(times) == {0, 40_000 * MS}
    assert abs(times.count(0) / count - 0.3) < 4 * np.sqrt(0.21 / count)
    assert step.average() == pytest.approx(0.7 * 40_000 * MS)


def test_the_short_form_and_the_steps_say_the_same() -> None:
    short = ran(planned(3, 4, 4, per_machine=2, load_time=20 * MS))
    chain = ran(planned(3, 4, 4, per_machine=2, start=begun(provision="50ms", warm_up="20ms"), cold_start=0))
    assert lives(short) == lives(chain)
    assert [one.steps for one in short.pools[0].replicas][1:] == [(("load", 20 * MS),)] * 3


def test_a_machine_lives_from_when_its_first_replica_is_ready() -> None:
    """With the mean life of a nanosecond it fails right then, and never before: no replica would ever serve."""
    fault = MachineFailures.model_validate({"mean": "1ns", "detect": "5s"})
    start = begun(provision="50ms", weights={"median": "20ms", "p95": "80ms"})
    run = ran(planned(3, 3, start=start, cold_start=0, faults=(fault,)))
    later = [one for one in run.pools[0].replicas if one.launched]
    assert later
    assert all(one.ready is not None and one.stopped is not None for one in later)
    assert all((one.stopped or 0) - (one.ready or 0) < 100 for one in later)


def test_each_step_is_a_lever() -> None:
    asked = planned(3, 3, start=begun(**CHAIN), cold_start=0)
    found = {one.what: (one.before, one.after) for one in levers(asked) if one.what.startswith("start: ")}
    assert found["start: provision"] == pytest.approx((0.05, 0.05 / 1.2))
    assert found["start: probe period"] == pytest.approx((0.025, 0.025 / 1.2))
    assert list(found) == [
        f"start: {name}" for name in ("provision", "image", "weights", "warm-up", "endpoint", "probe period")
    ]


def test_the_report_splits_a_reaction_into_the_steps() -> None:
    """Replicas of 100/s get 167/s from the start; the second is asked for at 200 and known 183 later."""
    more = Schedule.model_validate({"replicas": 1, "interval": "100ms", "steps": [{"at": "200ms", "replicas": 2}]})
    arrivals = tuple(np.arange(0, 0.9, 0.006))
    found = scaling(run_case(planned(arrivals=arrivals, start=begun(**CHAIN), cold_start=0, autoscaler=more)), 0)
    assert list(found.reaction) == [one for one in REACTION if one != "load"]
    seconds = {name: one.value or 0 for name, one in found.reaction.items()}
    assert [seconds[name] for name in ("machine", "image", "weights", "warm-up")] == [0.05, 0.02, 0.06, 0.005]
    assert sum(list(seconds.values())[3:]) == pytest.approx(0.183)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["start={provision: 3}"], "pools.boxes.start.provision.mean: 3 has no unit; write a duration such as 250ms"),
        (["start={image: {median: 3s}}"], "start.image: give a time such as 30s, or median and p95"),
        (["start={image: {median: 3s, p95: 4s, mean: 3s}}"], "start.image: give a time such as 30s, or median and p95"),
        (["start={image: {}}"], "start.image: give a time such as 30s, or median and p95, or mean and spread"),
        (["start={image: [3s]}"], "start.image.mean: ['3s'] is not a duration"),
        (["start={image: {median: 3s, p95: 2s}}"], "start.image: p95 is below the median"),
        (["start={image: {median: 3s, p95: 4s, spread: uniform}}"], "start.image: spread: varies around a mean"),
        (["start={image: {mean: 3s, hit: 0.3}}"], "start.image.hit: 0.3 is not a percentage; write it such as 70%"),
        (["start={provision: {mean: 3s, kept: true}}"], "start: provision: kept has no effect here"),
        (["start={endpoint: {mean: 3s, kept: true}}"], "start: endpoint: kept has no effect here"),
        (["start={weight: 3s}"], "start.weight: unknown field; did you mean 'weights'?"),
        (["start={probe: {period: 0s}}"], "start.probe.period: '0s' must be above zero"),
        (["start={weights: 3s}", "cold_start=3s"], "start says how replicas start; remove cold_start"),
        (["start={weights: 3s}", "load_time=3s"], "start says how replicas start; remove cold_start"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(tmp_path: Path, settings: list[str], words: str) -> None:
    said = complaint(saved(tmp_path), *(f"pools.boxes.{setting}" for setting in settings))
    assert words in said
    assert "\n" not in said


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    text = "start={provision: 3m, image: {median: 40s, p95: 2m, kept: true}, probe: {}}"
    scenario = load(saved(tmp_path), [f"pools.boxes.{text}"]).scenario
    assert validate(parse_yaml(format_scenario(scenario))) == scenario
