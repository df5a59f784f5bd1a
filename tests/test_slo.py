from __future__ import annotations

import pytest

from simulator.slo import ALL, Slo, parse_slo


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("p99(latency)<500ms", Slo("percentile", "<", 5e8, quantile=0.99)),
        ("p99.9(latency)<=2s", Slo("percentile", "<=", 2e9, quantile=0.999)),
        ("mean(latency)<80ms", Slo("mean", "<", 8e7)),
        ("rate(errors)<0.1%", Slo("errors", "<", 0.001)),
        ("attainment(latency<300ms)>=99% over 5m", Slo("attainment", ">=", 0.99, bound=3 * 10**8, window=300 * 10**9)),
        (
            "attainment(ttft<500ms, tpot<50ms)>=95% per class=chat",
            Slo("attainment", ">=", 0.95, bound=ALL, workload="chat", timing="ttft<500ms, tpot<50ms"),
        ),
        ("p99(itl)<80ms", Slo("percentile", "<", 8e7, quantile=0.99, timing="itl")),
        ("p95(latency)<1s per class=chat", Slo("percentile", "<", 1e9, quantile=0.95, workload="chat")),
        ("p95(latency)<1s per class=chat over 1m", Slo("percentile", "<", 1e9, 0.95, None, "chat", 60 * 10**9)),
    ],
)
def test_reads_and_writes_back(line: str, meaning: Slo) -> None:
    found = parse_slo(line)
    assert found == meaning
    assert str(found) == line
    assert parse_slo(f"  {line.replace(meaning.sign, f' {meaning.sign} ').replace('(', ' ( ')} ") == meaning


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("p99(latency)", "is not an objective"),
        ("p99(latncy)<1s", "'latncy' is not a known metric"),
        ("p99(latency)>1s", "must stay below"),
        ("p99(latency)<1", "has no unit"),
        ("p0(latency)<1s", "between p0 and p100"),
        ("p100(latency)<1s", "between p0 and p100"),
        ("rate(errors)<500ms", "is not a percentage"),
        ("rate(success)<1%", "cannot be rated"),
        ("attainment(latency<300ms)<99%", "use >="),
        ("p99(latency)<1s over 0s", "must be above zero"),
        ("p99(latency)<1s over five", "is not a duration"),
        ("attainment(ttft<500ms, tpto<50ms)>=95%", "'tpto' is not a known metric; did you mean 'tpot'"),
        ("attainment(ttft<500ms, tpot)>=95%", "is not an objective"),
        ("attainment(ttft<500ms, tpot<5)>=95%", "has no unit"),
        ("attainment(ttft<500ms, ttft<50ms)>=95%", "each once"),
        ("attainment(ttft<500ms, itl<50ms)>=95%", "single times of a request"),
        ("attainment()>=95%", "is not an objective"),
        ("p99(itl)<80ms over 1m", "leave out over"),
        (7, "is not an objective"),
    ],
)
def test_refuses(line: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_slo(line)


def test_holds_at_the_bound() -> None:
    assert parse_slo("mean(latency)<=1s").holds(1e9)
    assert not parse_slo("mean(latency)<1s").holds(1e9)
    assert parse_slo("attainment(latency<1s)>=99%").holds(0.99)
    assert not parse_slo("attainment(latency<1s)>99%").holds(0.99)
    assert not parse_slo("p99(latency)<1s").holds(float("inf"))
