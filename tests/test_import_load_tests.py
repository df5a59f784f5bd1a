"""Load tests of other tools: small files of our own in each format, their figures worked out by hand.

The figures in tests/importers are made up; only the formats are the tools'.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from calibration.importers import LoadTest, read_load_test
from calibration.importers.base import pick, recognising
from calibration.importers.document import Document
from calibration.observation import Observation, Times, read_observations, write_observations
from simulator.errors import InputError

HERE = Path(__file__).parent / "importers"
KINDS = {
    "ab.csv": "ab",
    "ab.txt": "ab",
    "aiperf.csv": "aiperf",
    "aiperf.json": "aiperf",
    "aiperf.jsonl": "aiperf",
    "autocannon.json": "autocannon",
    "autocannon_plain.json": "autocannon",
    "genai_perf.csv": "genai-perf",
    "genai_perf.json": "genai-perf",
    "genai_perf_nested.json": "genai-perf",
    "guidellm.csv": "guidellm",
    "guidellm.json": "guidellm",
    "hey.csv": "hey",
    "hey.txt": "hey",
    "k6_export.json": "k6",
    "k6_summary.json": "k6",
    "locust.json": "locust",
    "locust_history.csv": "locust",
    "locust_stats.csv": "locust",
    "model_analyzer.csv": "model-analyzer",
    "perf_analyzer.csv": "perf-analyzer",
    "perf_analyzer_batches.csv": "perf-analyzer",
    "perf_analyzer_rate.csv": "perf-analyzer",
    "vllm.json": "vllm",
    "vllm_detailed.json": "vllm",
    "vllm_lines.json": "vllm",
    "wrk.txt": "wrk",
    "wrk2.txt": "wrk",
}
MS = 10**6


def only(name: str) -> Observation:
    (found,) = read_load_test(HERE / name)
    return found


def told(times: Times | None) -> dict[str, Any]:
    """A duration in milliseconds, as far as it is told."""
    assert times is not None
    figures: dict[str, Any] = {"n": times.n} if times.n is not None else {}
    named = {"mean": times.mean_ns, "min": times.min_ns, "max": times.max_ns}
    figures |= {name: value / MS for name, value in named.items() if value is not None}
    return figures | {
        f"p{100 * level:g}": value / MS for level, value in zip(times.levels, times.values_ns, strict=True)
    }


def test_every_importer_has_a_file_here() -> None:
    assert set(KINDS.values()) == set(LoadTest.written())


@pytest.mark.parametrize("name", KINDS)
def test_each_file_is_recognised_by_its_importer_alone(name: str, tmp_path: Path) -> None:
    found = read_load_test(HERE / name)
    assert found == read_load_test(HERE / name, KINDS[name])
    document = Document(HERE / name)
    assert recognising(LoadTest, document) == [KINDS[name]]
    for seen in found:
        assert (seen.origin.format, seen.origin.file, seen.origin.sha256) == (KINDS[name], name, document.sha256)
        assert seen.origin.licence is None
        assert seen.remarks
    (tmp_path / name).write_bytes(gzip.compress(document.content))
    packed = read_load_test(tmp_path / name)
    assert [seen.model_dump(exclude={"origin"}) for seen in packed] == [
        seen.model_dump(exclude={"origin"}) for seen in found
    ]


@pytest.mark.parametrize("name", KINDS)
def test_what_is_written_is_read_back(name: str, tmp_path: Path) -> None:
    found = read_load_test(HERE / name)
    write_observations(found, tmp_path / "o.json")
    assert read_observations(tmp_path / "o.json") == tuple(found)
    assert json.loads((tmp_path / "o.json").read_text())["format"] == "observations"


def test_hey_keeps_its_requests() -> None:
    seen = only("hey.csv")
    assert (seen.offered.kind, seen.offered.clients, seen.counts.sent, seen.counts.ok) == ("closed", None, None, 3)
    assert seen.counts.errors == {"status 503": 1}
    # Of 10, 20, 30 and 40 ms; between two of them quantiles are linear: 3 x 0.95 = 2.85, so 30 + 0.85 x 10.
    assert told(seen.latency) == {
        "n": 4, "mean": 25, "min": 10, "max": 40, "p50": 25, "p90": 37, "p95": 38.5, "p99": 39.7,
    }  # fmt: skip
    assert seen.requests is not None
    assert seen.requests.sent_ns == (0, 10 * MS, 20_500_000, 30 * MS)
    assert seen.requests.latency_ns == (10 * MS, 20 * MS, 30 * MS, 40 * MS)
    assert seen.requests.status == ("200", "200", "503", "200")


def test_hey_prints_a_summary() -> None:
    seen = only("hey.txt")
    assert (seen.duration_ns, seen.requests_per_s) == (2 * 10**9, 49.5)
    assert (seen.counts.sent, seen.counts.ok) == (100, 95)
    words = 'Get "http://localhost:8000/": context deadline exceeded'
    assert seen.counts.errors == {"status 500": 4, words: 1}
    assert told(seen.latency) == {
        "n": 99, "mean": 25, "min": 10, "max": 90, "p10": 11, "p50": 22, "p90": 50, "p95": 60, "p99": 85,
    }  # fmt: skip


def test_ab_tells_percentiles_or_a_report() -> None:
    assert told(only("ab.csv").latency) == {"min": 1.5, "max": 9.001, "p50": 2.25, "p95": 4.125, "p99": 8}
    seen = only("ab.txt")
    assert (seen.name, seen.origin.tool_version, seen.duration_ns) == ("/infer", "2.3", 2_500_000_000)
    assert (seen.offered.kind, seen.offered.clients, seen.requests_per_s) == ("closed", 4, 80.0)
    assert (seen.counts.sent, seen.counts.ok, seen.counts.errors) == (200, 197, {"Receive": 1, "Length": 2})
    assert told(seen.latency) == {
        "n": 200, "mean": 49, "min": 21, "max": 93, "p50": 48, "p66": 52, "p90": 62, "p95": 70, "p99": 88,
    }  # fmt: skip
    assert any("(Length)" in remark for remark in seen.remarks)


def test_where_ab_counts_an_answer_as_wrong_twice_nobody_knows_how_many_were_good(tmp_path: Path) -> None:
    text = (HERE / "ab.txt").read_text().replace("Total transferred", "Non-2xx responses:      2\nTotal transferred")
    (tmp_path / "ab.txt").write_text(text)
    (seen,) = read_load_test(tmp_path / "ab.txt")
    assert seen.counts.ok is None
    assert seen.counts.errors == {"Receive": 1, "Length": 2, "Non-2xx": 2}


def test_wrk_is_corrected_and_wrk2_keeps_a_schedule() -> None:
    seen = only("wrk.txt")
    assert (seen.offered.kind, seen.offered.clients, seen.clock) == ("closed", 16, "corrected")
    assert (seen.duration_ns, seen.requests_per_s, seen.counts.ok) == (10_010_000_000, 779.22, 7788)
    assert seen.counts.errors == {"read": 2, "timeout": 5, "Non-2xx or 3xx responses": 12}
    assert told(seen.latency) == {"mean": 20.5, "max": 1200, "p50": 19.75, "p75": 23, "p90": 28.4, "p99": 1100}
    later = only("wrk2.txt")
    assert (later.offered.kind, later.offered.rate, later.clock) == ("open", None, "schedule")
    assert told(later.latency) == {"mean": 6.46, "max": 12.34, "p50": 6.67, "p90": 9.02, "p99": 11.05, "p99.9": 12.07}


def test_autocannon_says_when_its_latencies_are_made_up() -> None:
    seen = only("autocannon.json")
    assert (seen.clock, seen.offered.clients, seen.requests_per_s) == ("corrected", 4, 20.2)
    assert seen.counts.errors == {"errors": 2, "timeouts": 2, "non2xx": 1}
    assert (seen.counts.sent, seen.counts.ok) == (104, 100)
    assert "900 values, where 100 requests" in seen.remarks[0]
    figures = {"n": 900, "mean": 21.5, "min": 1, "max": 60, "p0.1": 1, "p1": 2, "p2.5": 3, "p50": 20}
    assert told(seen.latency) == {**figures, "p97.5": 50, "p99": 55, "p99.9": 60}
    plain = only("autocannon_plain.json")
    assert plain.clock == "send"
    assert not any("corrected" in remark for remark in plain.remarks)


def test_locust_has_users_and_rounds() -> None:
    embed, rank = read_load_test(HERE / "locust_stats.csv")
    assert [seen.name for seen in (embed, rank)] == ["/embed", "/rank"]
    assert (embed.offered.kind, embed.offered.clients, embed.requests_per_s) == ("users", None, 10.0)
    assert (embed.counts.sent, embed.counts.ok, embed.counts.errors) == (100, 98, {"failures": 2})
    assert embed.latency is not None
    assert (embed.latency.mean_ns, embed.latency.max_ns) == (13_250_000, 41_125_000)
    assert (embed.latency.quantile(0.5), embed.latency.quantile(0.999)) == (12 * MS, 41 * MS)
    assert any("two significant digits" in remark for remark in embed.remarks)
    assert any("lock-step" in remark for remark in embed.remarks)


def test_locust_in_its_other_forms() -> None:
    history = only("locust_history.csv")
    assert (history.offered.clients, history.duration_ns, history.counts.sent) == (8, 10 * 10**9, 120)
    assert told(history.latency) == {"n": 120, "mean": 13.5, "min": 9.5, "max": 41.125, "p50": 12}
    seen = only("locust.json")
    # Ten requests in 10.25 s: four of 10 ms, four of 20 ms, one of 96 and one of 150.
    assert (seen.duration_ns, seen.requests_per_s) == (10_250_000_000, 10 / 10.25)
    assert told(seen.latency) == {
        "n": 10, "mean": 50.5, "min": 9.5, "max": 148.75, "p50": 20, "p90": 96, "p95": 150, "p99": 150,
    }  # fmt: skip


def test_k6_counts_failures_as_passes_of_failed() -> None:
    figures = {"n": 400, "mean": 25.5, "min": 10, "max": 99.25, "p50": 24, "p90": 40, "p95": 50, "p99": 90.5}
    export, summary = only("k6_export.json"), only("k6_summary.json")
    for seen in (export, summary):
        assert told(seen.latency) == figures
        assert (seen.counts.sent, seen.counts.ok, seen.counts.errors) == (400, 396, {"http_req_failed": 4})
        assert seen.requests_per_s == 39.5
    assert (export.offered.kind, export.offered.clients, export.duration_ns) == ("users", 5, None)
    assert (summary.offered.kind, summary.offered.clients, summary.duration_ns) == ("open", 20, 10_126_500_000)
    assert any("7 iterations were dropped" in remark for remark in summary.remarks)


def test_guidellm_tells_when_requests_were_due() -> None:
    seen = only("guidellm.json")
    assert (seen.name, seen.origin.tool_version, seen.duration_ns) == ("small", "0.8.1", 2_250_000_000)
    assert (seen.offered.kind, seen.offered.law, seen.offered.rate, seen.offered.clients) == ("open", "constant", 2, 64)
    assert (seen.counts.sent, seen.counts.ok, seen.counts.errors) == (4, 3, {"errored": 1})
    assert seen.requests is not None
    # Due at 100.125, 100.75 and 101.25 s, sent at 100.25, 100.75 and 101.5.
    assert seen.requests.intended_ns == (0, 625 * MS, 1125 * MS)
    assert seen.requests.sent_ns == (125 * MS, 625 * MS, 1375 * MS)
    assert seen.requests.latency_ns == (500 * MS, 250 * MS, 1000 * MS)
    assert seen.requests.ttft_ns == (62_500_000, 50 * MS, 125 * MS)
    assert seen.input_tokens is not None
    assert (seen.input_tokens.mean, seen.input_tokens.total) == (20, 60)
    # Late by 125, 0 and 250 ms: the mean of 500, 250 and 1000 ms and of that.
    assert any("mean latency is 708.3 ms" in remark for remark in seen.remarks)


def test_both_forms_of_guidellm_say_the_same() -> None:
    seen, table = only("guidellm.json"), only("guidellm.csv")
    for name in ("latency", "ttft", "tpot"):
        left, right = told(getattr(seen, name)), told(getattr(table, name))
        assert left.pop("p99.9") == left["max"]
        del left["n"]
        assert left == right
    assert (table.offered.kind, table.offered.clients, table.counts.errors) == ("closed", 8, {"incomplete": 1})


def test_aiperf_tells_the_load_in_its_json() -> None:
    seen = only("aiperf.json")
    assert (seen.name, seen.origin.tool_version) == ("small", "0.13.0")
    assert (seen.offered.kind, seen.offered.law, seen.offered.rate) == ("open", "poisson", 5.0)
    assert (seen.counts.sent, seen.counts.ok, seen.counts.errors) == (50, 45, {"errors": 5})
    assert (seen.duration_ns, seen.requests_per_s, seen.output_tokens_per_s) == (10**10, 4.5, 72.0)
    figures = {"n": 45, "mean": 200.5, "min": 180.125, "max": 250.5, "p50": 198.25}
    assert told(seen.latency) == {**figures, "p90": 210, "p95": 225, "p99": 240}
    assert seen.tpot is not None
    assert seen.itl is not None
    assert (seen.tpot.n, seen.itl.n) == (45, 675)
    assert any("1.25 ms after they were due" in remark for remark in seen.remarks)
    table = only("aiperf.csv")
    assert table.latency is not None
    assert (table.latency.mean_ns, table.latency.quantile(0.99)) == (1_200_500_000, 2_240 * MS)
    assert table.offered.kind is None


def test_aiperf_tells_its_requests_in_lines() -> None:
    seen = only("aiperf.jsonl")
    assert (seen.counts.sent, seen.counts.ok, seen.counts.errors) == (3, 2, {"HTTPError": 1})
    assert seen.requests is not None
    assert seen.requests.intended_ns == (0, 500 * MS, 900 * MS)
    assert seen.requests.sent_ns == (1_000_001, 500 * MS, 902 * MS)
    assert seen.requests.latency_ns == (100 * MS, 200 * MS, None)
    assert seen.requests.ttft_ns == (60 * MS, 100_000_001, None)
    assert seen.requests.output_tokens == (3, 3, None)
    # Gaps of 10, 30, 49.999999 and 50 ms: the median is half a nanosecond below 40 ms, which rounds to the even.
    assert told(seen.itl) == {"n": 4, "mean": 35, "min": 10, "max": 50, "p50": 40, "p90": 50, "p95": 50, "p99": 50}
    assert any("1 requests of other phases" in remark for remark in seen.remarks)


def test_genai_perf_tells_the_load_in_two_ways() -> None:
    seen, nested = only("genai_perf.json"), only("genai_perf_nested.json")
    assert (seen.offered.kind, seen.offered.clients) == ("closed", 8)
    assert (nested.offered.kind, nested.offered.rate) == ("open", 6.5)
    figures = {"mean": 200.5, "min": 180.125, "max": 250.5, "p25": 190, "p50": 198.25, "p75": 205}
    assert told(seen.latency) == {**figures, "p90": 210, "p95": 225, "p99": 240}
    table = only("genai_perf.csv")
    assert table.latency is not None
    assert table.latency.mean_ns == 1_200_500_000
    assert table.input_tokens is not None
    assert (table.input_tokens.mean, table.counts.ok, table.requests_per_s) == (550.0, 45, 4.5)


def test_vllm_tells_figures_and_perhaps_requests() -> None:
    seen = only("vllm.json")
    assert (seen.offered.kind, seen.offered.rate, seen.offered.law) == ("open", 2.5, "poisson")
    assert (seen.counts.sent, seen.counts.ok, seen.counts.errors) == (4, 3, {"failed": 1})
    assert told(seen.ttft) == {"n": 3, "mean": 50, "p50": 40, "p99": 79.5}
    assert told(seen.latency) == {"n": 3, "mean": 70, "p50": 60.5, "p99": 99, "p99.9": 99.5}
    assert seen.requests is None
    detailed = only("vllm_detailed.json")
    assert (detailed.offered.kind, detailed.offered.clients) == ("closed", 2)
    assert detailed.requests is not None
    assert detailed.requests.latency_ns == (60 * MS, 50 * MS, 120 * MS, None)
    assert detailed.requests.sent_ns == (0, 125 * MS, 250 * MS, 500 * MS)
    assert detailed.requests.status == ("ok", "ok", "ok", "failed")
    assert detailed.latency is not None
    assert (detailed.latency.n, detailed.latency.max_ns) == (3, 120 * MS)


def test_vllm_appends_results_line_by_line() -> None:
    burst, gamma = read_load_test(HERE / "vllm_lines.json")
    assert (burst.offered.kind, burst.offered.rate) == ("open", None)
    assert any("at once" in remark for remark in burst.remarks)
    assert (gamma.offered.law, gamma.offered.rate, gamma.offered.clients) == ("gamma, shape 0.5", 2.5, 64)


def test_perf_analyzer_splits_the_latency() -> None:
    one, four = read_load_test(HERE / "perf_analyzer.csv")
    assert [(seen.offered.kind, seen.offered.clients) for seen in (one, four)] == [("closed", 1), ("closed", 4)]
    assert {name: times.mean_ns for name, times in four.stages.items()} == {
        "send": 12_000, "network": 500_000, "queue": 7_000_000, "compute_input": 25_000, "compute_infer": 9_000_000,
        "compute_output": 25_000, "receive": 1_000,
    }  # fmt: skip
    assert told(one.latency) == {"p50": 8.4, "p90": 8.8, "p95": 9, "p99": 9.5}
    assert (one.inferences_per_s, one.requests_per_s, one.batch) == (100.5, None, None)
    (rate,) = read_load_test(HERE / "perf_analyzer_rate.csv")
    assert (rate.offered.kind, rate.offered.rate) == ("open", 50)
    assert told(rate.latency)["mean"] == 8.455
    assert [seen.batch for seen in read_load_test(HERE / "perf_analyzer_batches.csv")] == [4, 1, 1]


def test_model_analyzer_tells_the_batch() -> None:
    first, *_ = read_load_test(HERE / "model_analyzer.csv")
    assert (first.name, first.batch, first.offered.clients) == ("small, small_config_0", 2, 1)
    assert (first.inferences_per_s, first.requests_per_s) == (400, 200)
    assert told(first.latency) == {"p99": 5.5}


BROKEN = [
    ("hey.csv", "0.0300,0.0000", "slow,0.0000", "line 4: response-time: 'slow' is not a number"),
    ("hey.csv", ",503,", ",", "line 4: 7 cells where the header has 8"),
    ("hey.csv", "0.0400,", "-0.04,", "line 5: response-time: '-0.04' is out of range"),
    ("hey.txt", "Average:", "Mean:", "does not tell the mean latency"),
    ("hey.txt", "95%% in 0.0600", "95%% in 0.0010", "a quantile is below one of a lower level"),
    ("ab.csv", "95,4.125", "95,fast", "line 4: Time in ms: 'fast' is not a number"),
    ("ab.txt", "Complete requests:", "Requests:", "does not tell the number of requests"),
    ("ab.txt", "seconds", "s", "does not tell how long it took"),
    ("wrk.txt", "16 connections", "many connections", "does not tell the number of connections"),
    ("autocannon.json", '"p50": 20', '"p50": "x"', "latency.p50: 'x' is not a number"),
    ("autocannon.json", '"mean": 21.5', '"middle": 21.5', "latency.mean: is missing"),
    ("locust_stats.csv", "13.25", "quick", "line 2: Average Response Time: 'quick' is not a number"),
    ("locust_history.csv", "Aggregated", "Sum", "no line is Aggregated"),
    ("locust.json", '"96"', '"9x"', "'9x' is not whole milliseconds"),
    ("locust.json", '"num_requests": 10', '"num_requests": 1.5', "num_requests: 1.5 is not a whole number"),
    ("k6_export.json", '"http_reqs"', '"requests"', "metrics.http_reqs: is missing"),
    ("guidellm.json", '"duration": 2.25', '"duration": true', "benchmarks[0].duration: True is not a number"),
    ("guidellm.json", '"request_start_time": 100.75', '"request_start_time": null', "request_start_time: is missing"),
    ("guidellm.csv", "Mean", "Average", "Mean: is missing"),
    ("aiperf.json", '"unit": "ms"', '"unit": "parsecs"', "'parsecs' is not a unit of time; expected one of ns, us, ms"),
    ("aiperf.json", '"request_latency"', '"latency"', "request_latency: does not tell the request latency"),
    ("aiperf.csv", "198.25", "about 198", "line 6: p50: 'about 198' is not a number"),
    ("aiperf.jsonl", '"request_end_ns"', '"end"', "line 2.metadata.request_end_ns: is missing"),
    ("aiperf.jsonl", '"profiling"', '"warmup"', "none of the requests is of the phase profiling"),
    ("genai_perf.json", '"p99": 240.0', '"p99": 24.0', "a quantile is below one of a lower level"),
    ("genai_perf.csv", "16.00,16.00\n", "16.00\n", "cells where the header has 10"),
    ("vllm.json", '"completed": 3', '"completed": "3"', "completed: '3' is not a number"),
    ("vllm_detailed.json", '"timed out"', '"timed out", ""', "ttfts, itls and errors differ in length"),
    ("perf_analyzer.csv", "Client Recv", "Client", "line 1: column 'Client Recv' is missing among: Concurrency"),
    ("model_analyzer.csv", ",5.5", ",five", "line 2: p99 Latency (ms): 'five' is not a number"),
]


@pytest.mark.parametrize(("name", "right", "wrong", "problem"), BROKEN)
def test_a_broken_file_is_refused_in_one_line(name: str, right: str, wrong: str, problem: str, tmp_path: Path) -> None:
    text = (HERE / name).read_text()
    assert right in text
    (tmp_path / name).write_text(text.replace(right, wrong))
    with pytest.raises(InputError) as caught:
        read_load_test(tmp_path / name, KINDS[name])
    told_so = str(caught.value)
    assert told_so.startswith(f"{tmp_path / name}: ")
    assert problem in told_so
    assert "; " in told_so, "no fix"
    assert "\n" not in told_so


@pytest.mark.parametrize("name", KINDS)
def test_no_part_of_a_file_passes_for_the_whole_unseen(name: str, tmp_path: Path) -> None:
    """A file cut anywhere is refused in a line, or read as the shorter one that it may be: never a traceback."""
    text = (HERE / name).read_text()
    complaints = []
    for end in range(0, len(text), max(1, len(text) // 12)):
        (tmp_path / name).write_text(text[:end])
        try:
            read_load_test(tmp_path / name, KINDS[name])
        except InputError as error:
            complaints.append(str(error))
    assert complaints
    assert all(told_so.startswith(f"{tmp_path / name}: ") and "\n" not in told_so for told_so in complaints)


@pytest.mark.parametrize("kind", [None, *sorted(set(KINDS.values()))])
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty; write it again with the tool"),
        (b" \n\n", "is empty; write it again with the tool"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is not text; name the file that the tool wrote"),
        (b"\x1f\x8bnot really", "is not text; name the file that the tool wrote"),
    ],
)
def test_what_is_no_text_is_refused(kind: str | None, content: bytes, problem: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_load_test(tmp_path / "file", kind)
    assert str(caught.value) == f"{tmp_path / 'file'}: {problem}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a,b\n1,2\n", "is of no known format of a load test; name one with --format: ab, aiperf"),
        ('{"a": 1}', "is of no known format of a load test; name one with --format: ab, aiperf"),
        ('{"a": 1,\n "b"', "line 2: is not whole JSON (expecting ':' delimiter at column 5)"),
        ('{"a": NaN}', "is not JSON that can be read"),
        ("[" * 100_000, "is not JSON that can be read"),
    ],
)
def test_what_nobody_knows_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(InputError) as caught:
        read_load_test(tmp_path / "file")
    assert str(caught.value).startswith(f"{tmp_path / 'file'}: {problem}")


def test_a_file_of_two_formats_must_be_named(tmp_path: Path) -> None:
    columns = "Model,Batch,Model Config Path,Throughput (infer/sec),response-time,status-code,offset"
    (tmp_path / "both.csv").write_text(f"{columns}\nsmall,1,c,10,0.1,200,0.5\n")
    with pytest.raises(
        InputError, match=r"may be of more than one format: hey, model-analyzer; name one with --format"
    ):
        read_load_test(tmp_path / "both.csv")
    assert read_load_test(tmp_path / "both.csv", "hey")[0].origin.tool == "hey"


def test_a_wrong_format_is_answered_with_the_closest() -> None:
    with pytest.raises(InputError, match=r"--format: 'heyy' is not a format of a load test; did you mean 'hey'\?"):
        read_load_test(HERE / "hey.csv", "heyy")
    with pytest.raises(InputError, match="there is no such file to import; check the path"):
        read_load_test(HERE / "none.csv")
    assert pick(LoadTest, Document(HERE / "hey.csv"), None).tool == "hey"


def test_an_edited_observations_file_is_refused(tmp_path: Path) -> None:
    write_observations(read_load_test(HERE / "hey.csv"), tmp_path / "o.json")
    text = (tmp_path / "o.json").read_text()
    (tmp_path / "o.json").write_text(text.replace('"levels":[0.5,', '"levels":[').replace("0.5,\n", "", 1))
    with pytest.raises(InputError, match=r"o.json: observations.0.latency: 3 levels but 4 values; import"):
        read_observations(tmp_path / "o.json")
    (tmp_path / "o.json").write_text("{")
    with pytest.raises(InputError, match="import the load test again"):
        read_observations(tmp_path / "o.json")
