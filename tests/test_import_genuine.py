"""The importers on genuine files of the tools, where the public data is: what two files of one run say must agree."""

from __future__ import annotations

import csv
import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest

from calibration.importers import read_load_test, read_timings
from calibration.observation import Observation, Times, read_observations, write_observations

MS = 10**6
FILES = {
    "ab_percentiles.csv": "ab",
    "aiperf_profile_export.jsonl": "aiperf",
    "autocannon.json": "autocannon",
    "guidellm_benchmarks.csv": "guidellm",
    "guidellm_benchmarks.json": "guidellm",
    "hey.csv": "hey",
    "locust_json.json": "locust",
    "locust_stats.csv": "locust",
    "locust_stats_history.csv": "locust",
    "profile_export_aiperf.csv": "aiperf",
    "profile_export_aiperf.json": "aiperf",
    "wrk.txt": "wrk",
}


@pytest.fixture
def seen(shared_data: Path) -> dict[str, Observation]:
    """The one observation of every file."""
    return {name: next(iter(read_load_test(shared_data / "loadtests" / name))) for name in FILES}


def test_all_are_recognised_and_kept(seen: dict[str, Observation], tmp_path: Path) -> None:
    assert {name: observation.origin.format for name, observation in seen.items()} == FILES
    write_observations(list(seen.values()), tmp_path / "o.json")
    assert read_observations(tmp_path / "o.json") == tuple(seen.values())


def quantiles(times: Times | None, *levels: float) -> list[float]:
    assert times is not None
    return [(times.quantile(level) or 0) / MS for level in levels]


def test_the_requests_of_aiperf_have_the_figures_of_its_run(seen: dict[str, Observation]) -> None:
    lines, run, table = (seen[name] for name in FILES if FILES[name] == "aiperf")
    if run.offered.kind is None:
        run, table = table, run
    for name in ("latency", "ttft", "tpot", "itl"):
        mine, its = getattr(lines, name), getattr(run, name)
        assert (mine.n, mine.min_ns, mine.max_ns) == (its.n, its.min_ns, its.max_ns)
        assert quantiles(mine, 0.5, 0.9, 0.95, 0.99) == pytest.approx(quantiles(its, 0.5, 0.9, 0.95, 0.99), abs=1e-5)
        assert quantiles(getattr(table, name), 0.5, 0.99) == pytest.approx(quantiles(its, 0.5, 0.99), abs=0.0051)
    assert lines.requests is not None
    late = np.array(lines.requests.sent_ns) - np.array(lines.requests.intended_ns)
    assert any(f"Requests began {late.mean() / MS:.2f} ms after they were due" in remark for remark in run.remarks)
    assert (run.offered.law, run.offered.rate) == ("poisson", 5.0)


def test_both_files_of_guidellm_agree_and_its_requests_too(seen: dict[str, Observation]) -> None:
    table, run = seen["guidellm_benchmarks.csv"], seen["guidellm_benchmarks.json"]
    for name in ("latency", "ttft", "tpot"):
        left, right = getattr(table, name), getattr(run, name)
        levels = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
        assert quantiles(left, *levels) == quantiles(right, *levels)
        assert (left.mean_ns, left.min_ns, left.max_ns) == (right.mean_ns, right.min_ns, right.max_ns)
    assert (table.counts, table.duration_ns) == (run.counts, run.duration_ns)
    assert run.requests is not None
    assert run.requests.latency_ns is not None
    assert run.latency is not None
    assert max(value or 0 for value in run.requests.latency_ns) == run.latency.max_ns
    sent = [value or 0 for value in run.requests.sent_ns or ()]
    due = [value or 0 for value in run.requests.intended_ns or ()]
    assert all(left >= right for left, right in zip(sent, due, strict=True))
    # 4 requests a second were asked for; the schedule itself came faster: 50 in 7.35 s.
    assert (run.offered.rate, round(run.requests_per_s or 0, 2)) == (4.0, 6.80)


def test_the_three_files_of_locust_agree(seen: dict[str, Observation]) -> None:
    stats, history, entry = seen["locust_stats.csv"], seen["locust_stats_history.csv"], seen["locust_json.json"]
    for other in (history, entry):
        assert other.counts == stats.counts
        assert other.latency is not None
        assert stats.latency is not None
        assert (other.latency.mean_ns, other.latency.max_ns) == (stats.latency.mean_ns, stats.latency.max_ns)
        assert other.latency.quantile(0.5) == 120 * MS
    assert quantiles(entry.latency, 0.5, 0.9, 0.95, 0.99) == quantiles(stats.latency, 0.5, 0.9, 0.95, 0.99)
    assert history.offered.clients == 30


def test_autocannon_made_most_of_its_values_up(seen: dict[str, Observation]) -> None:
    made = seen["autocannon.json"]
    assert made.latency is not None
    assert (made.clock, made.latency.n, made.counts.ok, made.counts.sent) == ("corrected", 23799, 360, 420)


def test_hey_keeps_each_request(seen: dict[str, Observation], shared_data: Path) -> None:
    rows = list(csv.DictReader((shared_data / "loadtests" / "hey.csv").read_text().splitlines()))
    hey = seen["hey.csv"]
    assert hey.requests is not None
    assert [value / 1e9 for value in hey.requests.latency_ns or () if value] == [
        float(row["response-time"]) for row in rows
    ]


def test_splitwise_makes_twelve_profiles_and_drops_fifteen_lines(shared_data: Path) -> None:
    found = {each.name: each for each in read_timings(shared_data / "calibration" / "splitwise_perf_model.csv")}
    assert len(found) == 12
    wrong = [name for name, each in found.items() if any("anomalous: 5 lines" in limit for limit in each.limits)]
    assert wrong == ["llama2-70b-a100-80gb-tp2", "llama2-70b-h100-80gb-tp2", "llama2-70b-h100-80gb-pcap-tp2"]
    capped, plain = found["bloom-176b-h100-80gb-pcap-tp8"], found["bloom-176b-h100-80gb-tp8"]
    for left, right in zip(capped.cells, plain.cells, strict=True):
        assert left.base_ns == pytest.approx(right.base_ns * (1.3 if right.at["prefill"] else 1), rel=1e-6)
    assert any("not measured" in limit for limit in capped.limits)


def test_layers_of_an_rtx_4090_read_the_weights_once_a_step(shared_data: Path) -> None:
    folder = shared_data / "calibration" / "llmservingsim_profile"
    (profile,) = read_timings(folder / "RTX4090__meta-llama__Llama-3.1-8B__bf16__meta.yaml", layers=32)
    steps = {profile.place(cell): cell.base_ns for cell in profile.cells}
    # 15 GB of weights besides the embedding, at most 1008 GB/s (the card's data sheet): 14.9 ms.
    assert 14.9 * MS < steps[0, 1, 16] < 1.2 * 14.9 * MS
    contexts = [steps[0, 64, 2**power] for power in range(7, 15)]
    assert all(later > earlier for earlier, later in itertools.pairwise(contexts))


def test_plain_samples_are_those_of_the_file(shared_data: Path) -> None:
    path = shared_data / "measured" / "cpu" / "s1_enc_random.csv.gz"
    (profile,) = read_timings(path)
    with gzip.open(path, "rt") as lines:
        rows = [row for row in csv.DictReader(lines) if row["phase"] != "warm"]
    for cell in profile.cells:
        mine = [float(row["cpu_ms"]) for row in rows if int(row["batch"]) == cell.at["batch"]]
        assert cell.n == len(mine)
        assert cell.base_ns == pytest.approx(1e6 * np.median(mine), abs=1)
    assert profile.fit.clock == "thread_cpu"
