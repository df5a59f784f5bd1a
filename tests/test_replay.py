"""Replaying a trace: its hours, its speed, its load."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import kstest

from simulator.arrivals import Replay, Trace
from simulator.component import problems
from simulator.errors import InputError
from simulator.quantities import SECOND
from simulator.sources import Only, Recorded
from simulator.streams import Draws

TIMES = np.array([0, 1, 1, 4, 6, 10], dtype=np.int64) * SECOND


class Files:
    """One trace by any name."""

    def __init__(self, interval: int = 0) -> None:
        self.recorded = Recorded(TIMES, interval=interval)

    def trace(
        self,
        file: str,
        format: str,  # noqa: A002
        column: str | None = None,
        only: Only = (),
        session: str | None = None,
    ) -> Recorded:
        return self.recorded

    def profile(self, service: Any) -> Any:
        raise NotImplementedError

    def layers(self, service: Any) -> Any:
        raise NotImplementedError

    def interference(self, speed: Any) -> Any:
        raise NotImplementedError

    def autoscaler(self, manifest: Any) -> Any:
        raise NotImplementedError


def replay(times: np.ndarray = TIMES, **fields: Any) -> Replay:
    return Replay.model_validate({"times": times, **fields})


def stamps(process: Any, replication: int = 0) -> np.ndarray:
    return np.concatenate(list(process.stamps(Draws(5, replication), "load", 10**6 * SECOND)))


def seconds(process: Any) -> list[float]:
    found: list[float] = (stamps(process) / SECOND).tolist()
    return found


def test_a_stretch_of_the_trace() -> None:
    assert seconds(replay()) == [0, 1, 1, 4, 6, 10]
    assert seconds(replay(start="1s", until="10s")) == [0, 0, 3, 5]
    assert seconds(replay(start="2s", speedup=2.0)) == [1, 2, 4]
    assert replay(start="1s", until="10s").span() == 5 * SECOND + 1


def test_the_trace_hands_on_what_was_asked() -> None:
    made = Trace.model_validate({"file": "x", "start": "1s", "speedup": 2.0, "load": 3.0}).resolve(Files(7))
    assert isinstance(made, Replay)
    assert made == replay(start="1s", speedup=2.0, load=3.0, jitter="7ns").model_copy(update={"times": made.times})
    assert Trace.model_validate({"file": "x", "jitter": "0s"}).resolve(Files(7)).jitter == 0  # type: ignore[attr-defined]


def test_more_load_repeats_every_request_until_the_next() -> None:
    times = np.arange(1000, dtype=np.int64) * SECOND
    moved, place, _ = replay(times, load=3.0).replayed(Draws(5, 0), "load")
    assert np.array_equal(np.bincount(place), np.full(1000, 3))
    assert (moved >= times[place]).all()
    assert (moved[place < 999] < times[place[place < 999]] + SECOND).all()
    assert set(times) <= set(moved)
    assert (np.diff(moved) >= 0).all()


@pytest.mark.parametrize("load", [0.3, 1.7, 2.5])
def test_the_load_is_multiplied(load: float) -> None:
    times = np.arange(100, dtype=np.int64) * SECOND
    process = replay(times, load=load)
    found = np.array([len(stamps(process, number)) for number in range(400)])
    part = load - np.floor(load)
    error = np.sqrt(100 * part * (1 - part) / 400)
    assert found.mean() == pytest.approx(100 * load, abs=4 * error)
    assert process.mean_rate(process.span()) * process.span() / SECOND == pytest.approx(100 * load)
    assert process.scaled(2).span() == process.span()


def test_less_load_keeps_some_of_what_more_keeps() -> None:
    times = np.arange(500, dtype=np.int64) * SECOND
    kept = [set(stamps(replay(times, load=load)).tolist()) for load in (0.2, 0.5, 0.9, 1.0)]
    assert kept[0] < kept[1] < kept[2] < kept[3]


def test_places_follow_the_requests_through_jitter() -> None:
    moved, place, _ = replay(jitter="5s").replayed(Draws(5, 0), "load")
    assert sorted(place) == list(range(6))
    assert ((moved - TIMES[place] >= 0) & (moved - TIMES[place] < 5 * SECOND)).all()
    _, place, _ = replay(start="1s").replayed(Draws(5, 0), "load")
    assert place.tolist() == [1, 2, 3, 4, 5]


def test_jitter_spreads_counts_over_their_interval() -> None:
    times = np.repeat(np.arange(100, dtype=np.int64) * 60 * SECOND, 100)
    within = stamps(replay(times, jitter="60s")) % (60 * SECOND) / SECOND
    assert len(within) > 9_900
    assert kstest(within / 60, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"start": "5s", "until": "5s"}, "until, 5s, must be later than start, 5s"),
        ({"load": 0.0}, "0.0: input should be greater than 0"),
        ({"load": 1001.0}, "1001.0: input should be less than or equal to 1000"),
        ({"speedup": float("inf")}, "inf: input should be"),
    ],
)
def test_bad_input_is_told_plainly(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Trace.model_validate({"file": "x", **fields})
    assert problem in problems(caught.value)[0][1]


def test_an_empty_stretch_is_refused() -> None:
    with pytest.raises(InputError, match="no request between start and until; the trace lasts 10s"):
        Trace.model_validate({"file": "x", "start": "20s"}).resolve(Files())
