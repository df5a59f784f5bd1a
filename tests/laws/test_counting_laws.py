"""What is counted while the clock runs is what the records of the same run come to."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from cases import case as one_workload
from cases import pool, takes
from choices import cases
from hypothesis import given, settings

from simulator.arrivals import Gamma, Sessions
from simulator.batching import NoBatching
from simulator.buckets import ERROR
from simulator.case import Case
from simulator.dispatch import RoundRobin
from simulator.figures.ledger import count
from simulator.figures.samples import Counted
from simulator.figures.tally import Tally
from simulator.limits import Limits
from simulator.run import extents
from simulator.run.engine import simulate
from simulator.slo import GAPS, parse_slo

BY_SLICE = ("arrived", "spent", "answered", "replies", "answers", "present", "outcomes")
OF_STAGES = ("came", "left", "spent", "answered", "batches", "sizes", "ratios", "squares")
OF_POOLS = ("busy", "batches", "full", "visits", "squares", "begun", "prompts", "found", "preemptions", "loads")


ROWS = (3, 5, 16)
"""Rows of the tape that are used again together, as a power of 2: few, so that it happens often; as many as usual."""


@settings(max_examples=50)
@given(cases())
def test_counts_are_those_of_the_records(case: Case) -> None:
    counts_what_records_tell(case, ROWS)


def counts_what_records_tell(case: Case, rows: Sequence[int]) -> None:
    slos = (parse_slo("p90(latency)<=100ms"), parse_slo("attainment(latency<20ms)>=50%"))
    case = dataclasses.replace(case, slos=slos)
    kept = Tally.of(case, simulate(case, 0))
    for bits in rows:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(extents, "BITS", bits)
            tell_the_same(case, count(case, 0), kept)


def tell_the_same(case: Case, counted: Tally, kept: Tally) -> None:
    for name in BY_SLICE:
        same(getattr(counted, name), getattr(kept, name))
    for one, other in zip(counted.stages, kept.stages, strict=True):
        for name in OF_STAGES:
            same(getattr(one, name), getattr(other, name))
    for used, known in zip(counted.pools, kept.pools, strict=True):
        for name in OF_POOLS:
            same(getattr(used, name), getattr(known, name))
        assert used.filled == known.filled
    assert (counted.requests, counted.attempts) == (kept.requests, kept.attempts)
    for lives, record in zip(counted.lives, kept.lives, strict=True):
        assert (lives.replicas, lives.machines) == (record.replicas, record.machines)
        assert lives.scaling == record.scaling
    tell_the_same_latencies(case, counted, kept)
    tell_the_same_gaps(counted, kept)


def tell_the_same_gaps(counted: Tally, kept: Tally) -> None:
    for told, read in zip(counted.readings, kept.readings, strict=True):
        assert (told is None) == (read is None)
        if told is not None and read is not None:
            same(told.areas, read.areas)
            assert told.most.tolist() == read.most.tolist()
    for one, other in zip(counted.timed.get(GAPS, ()), kept.timed.get(GAPS, ()), strict=True):
        for cell, known in zip(one, other, strict=True):
            assert isinstance(cell, Counted)
            assert isinstance(known, Counted)
            assert (cell.first, cell.counts.tolist(), cell.nanoseconds) == (
                known.first,
                known.counts.tolist(),
                known.nanoseconds,
            )


def same(one: np.ndarray, other: np.ndarray) -> None:
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-3)


def tell_the_same_latencies(case: Case, counted: Tally, kept: Tally) -> None:
    for workload in range(len(case.workloads)):
        for one, other in zip(counted.latencies[workload], kept.latencies[workload], strict=True):
            assert (len(one), one.missed) == (len(other), other.missed)
            assert one.seconds() == pytest.approx(other.seconds(), rel=1e-9, abs=1e-9)
            assert one.below(20 * 10**6) == other.below(20 * 10**6)
            if len(one):
                found, exact = one.quantiles([0.1, 0.5, 0.99]), other.quantiles([0.1, 0.5, 0.99])
                assert found == pytest.approx(exact, rel=ERROR)


def test_attempts_are_numbered_in_another_order_than_their_rows() -> None:
    """Later turns of sessions take rows while the rest of a block, which has its numbers already, waits for its own."""
    limits = Limits.model_validate({"rate": "50/s", "burst": 1})
    served = pool(takes("0ms", "5ms"), 1, RoundRobin(), NoBatching(), limits=limits)
    sessions = Sessions.model_validate({"rate": "358/s", "turns": 2, "think": "0ms"})
    groups = Gamma.model_validate({"rate": "24/s", "group": 6, "cv": 0.0625})
    one = one_workload(sessions, served, seconds=0.2, seed=78)
    other = dataclasses.replace(one.workloads[0], name="other", arrivals=groups)
    counts_what_records_tell(dataclasses.replace(one, workloads=(other, *one.workloads)), [5])
