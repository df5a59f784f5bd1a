"""Profiles of LLM steps in scenarios: the law that is made of them, and how far it may be asked to go."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from profiles import MS, profile, saved

from calibration.llm.profiles import StepsAsked, at_end, beyond_steps, steps_of
from calibration.llm.roofline import Numbers
from calibration.profile import find_profile, load_profile
from scenarios.load import Loaded, load
from simulator.errors import InputError
from simulator.figures.replications import run_case
from simulator.llm.loop import TICKS
from simulator.llm.plan import Plan
from simulator.llm.service import FittedSteps
from simulator.service import weakness

SCENARIO = """\
schema_version: 1
title: Steps of a profile
workloads:
  users:
    model: m
    arrivals: {kind: poisson, rate: 1/s}
    sizes: {input_tokens: {kind: constant, value: 100}, output_tokens: {kind: constant, value: 20}}
models:
  m:
    type: llm
    memory: 1GiB
    stages:
      - pool: boxes
        service: {box: {kind: profile, profile: example.json}}
pools:
  boxes:
    instance: box
    batching: {kind: continuous, kv_tokens: 4096, max_num_seqs: 8, max_num_batched_tokens: 256, async_scheduling: false}
instances:
  box: {price: $1/h, cores: 1, memory: 2GiB}
run: {duration: 20s, warmup: 0s, replications: 2}
"""
SERVICE, ENGINE = "models.m.stages.0.service.box", "pools.boxes.batching"
ASKED = StepsAsked(prefill=256, decode=8, context=120, prompt=100)


def cells(*, factor: float = 1.0) -> list[tuple[dict[str, int], int]]:
    """5 ms, 0.1 ms a token of a prompt, 0.2 ms a request that decodes, and 1 us a token of its context."""
    places = [
        {"prefill": prefill, "decode": decode, "context": context if decode else 0}
        for prefill in (0, 64, 256)
        for decode in (0, 1, 8)
        for context in (64, 256)
        if prefill + decode and (decode or context == 64)
    ]
    return [
        (at, round(factor * (5 * MS + 100_000 * at["prefill"] + at["decode"] * (200_000 + 1000 * at["context"]))))
        for at in places
    ]


SUM = {"form": "step", "terms": ("1", "prefill", "decode", "decode*context"), "coefficients": (5e6, 1e5, 2e5, 1e3)}
ROOFLINE = {
    "form": "step_roofline",
    "terms": ("weights", "token", "sequence", "context", "pair"),
    "coefficients": (6e6, 1e5, 2e5, 1e3, 4.0),
    "error": 0.03,
}


def scenario(folder: Path, *settings: str, **given: Any) -> Loaded:
    (folder / "scenario.yaml").write_text(SCENARIO)
    saved(folder, **{"cells": cells(), "base": SUM, "kind": "llm_step", **given})
    return load(folder / "scenario.yaml", settings)


def law(loaded: Loaded) -> FittedSteps:
    found = loaded.case().stages[0].service
    assert isinstance(found, FittedSteps)
    return found


def complaint(folder: Path, *settings: str, **given: Any) -> str:
    with pytest.raises(InputError) as caught:
        scenario(folder, *settings, **given).case()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_step_is_the_sum_that_the_cells_were_made_of(tmp_path: Path) -> None:
    loaded = scenario(tmp_path)
    found = law(loaded)
    assert (found.form, found.level) == ("sum", "published")
    assert found.numbers == pytest.approx((5e6, 1e5, 2e5, 1e3, 0.0), rel=1e-6)
    assert "profile example: steps are the sum of its parts, off by 0.0% on average where it was fitted" in (
        loaded.files.remarks
    )
    # Two that decode with 300 tokens of context together, beside 40 tokens of a prompt: 5 + 4 + 0.4 + 0.3 ms.
    plan = Plan(0, 2, 300, 200, chunks=[(40, 10)])
    assert found.times().of(plan) / TICKS == pytest.approx(9.7e6, rel=1e-6)
    # A prompt of 100 alone is 15 ms, then 19 steps of 5.2 ms and a token of context, the 101 of the first and more:
    # 19 x 5.2 + (101 + ... + 119) us = 98.8 + 2.09 ms.
    result = run_case(loaded.case())
    assert result.percentile(0.01).value == pytest.approx(0.015 + 0.0988 + 0.00209, rel=1e-5)
    assert result.level == "published"


def test_many_steps_of_a_sum_at_once_are_as_one_by_one(tmp_path: Path) -> None:
    times = law(scenario(tmp_path)).times()
    first, growth, count = times.decoding(3, 600, 300)
    assert count > 1000
    assert [times.of(Plan(0, 3, 600 + 3 * step, 300 + step)) for step in (0, 1, 7)] == [
        first + growth * step for step in (0, 1, 7)
    ]


def test_the_law_is_that_of_the_means(tmp_path: Path) -> None:
    """Jitter of 1 to 2 and 2 to 3 makes means of twice the base."""
    numbers = law(scenario(tmp_path, ratios=(1.0, 2.0, 3.0))).numbers
    assert numbers == pytest.approx((1e7, 2e5, 4e5, 2e3, 0.0), rel=1e-6)


def test_refits_move_the_steps(tmp_path: Path) -> None:
    found = profile(cells(), base=SUM, kind="llm_step", refits=(1.25,))
    fitted, _ = steps_of(found, None, ASKED)
    moved, _ = steps_of(found, 0, ASKED)
    assert moved.numbers == pytest.approx(tuple(1.25 * number for number in fitted.numbers), rel=1e-6)


def test_the_roofline_of_a_profile_by_hand(tmp_path: Path) -> None:
    loaded = scenario(tmp_path, base=ROOFLINE)
    found = law(loaded)
    assert "steps are the roofline form, off by 3.0% on average" in next(iter(loaded.files.remarks))
    # (6^4 + 4.2^4)^(1/4) ms for 42 tokens, 0.2 ms for each of three, 0.3 ms of context, 40 (10 + 20) pairs of 4 ns.
    plan = Plan(0, 2, 300, 200, chunks=[(40, 10)])
    dense = (6**4 + 4.2**4) ** 0.25
    assert found.times().of(plan) / TICKS == pytest.approx(1e6 * (dense + 0.6 + 0.3 + 0.0048), rel=1e-6)


def test_a_measured_roofline_is_fitted_to_the_means(tmp_path: Path) -> None:
    numbers = Numbers(6e6, 1e5, 2e5, 1e3, 4.0)
    bent = [
        (at, round(float(numbers.at(np.array([[tokens, sequences, at["decode"] * at["context"], pairs]]))[0])))
        for at, _ in cells()
        for tokens in [at["prefill"] + at["decode"]]
        for sequences, pairs in [(at["decode"] + (at["prefill"] > 0), at["prefill"] ** 2 / 2)]
    ]
    known = {name: value for name, value in ROOFLINE.items() if name != "error"}
    found = profile(bent, (1.0, 2.0, 3.0), base=known, kind="llm_step", refits=(1.5,))
    law_of_means, error = steps_of(found, None, ASKED)
    assert law_of_means.numbers[:4] == pytest.approx((12e6, 2e5, 4e5, 2e3), rel=0.05)
    assert error == pytest.approx(0.0, abs=0.005)
    moved, _ = steps_of(found, 0, ASKED)
    assert moved.numbers[:4] == pytest.approx((18e6, 3e5, 6e5, 3e3), rel=0.05)


def test_what_is_assumed_follows_the_level_where_it_matters(tmp_path: Path) -> None:
    # Pairs: 256 tokens of prompts of 100 are 12,800 of 4 ns, 0.05 ms of 26: nothing. Context: 8 x 120 of 1 us beside
    # 7.6 ms is more than a trifle.
    assert law(scenario(tmp_path, base={**ROOFLINE, "assumed": ("pair",)})).level == "published"
    level = law(scenario(tmp_path, base={**ROOFLINE, "assumed": ("context", "pair")})).level
    assert level == "published, context assumed"
    assert weakness(level) >= weakness("derived")
    longer = dataclasses.replace(ASKED, prompt=100_000)
    found, _ = steps_of(profile(cells(), base={**ROOFLINE, "assumed": ("pair",)}, kind="llm_step"), None, longer)
    assert found.level == "published, pair assumed"


def test_a_little_beyond_the_cells_is_said_and_far_beyond_refused(tmp_path: Path) -> None:
    loaded = scenario(tmp_path, f"{ENGINE}.max_num_seqs=12")
    assert law(loaded).level == "published"
    assert any(remark.startswith("profile example: decode up to 12 sequences") for remark in loaded.files.remarks)
    text = complaint(tmp_path, f"{ENGINE}.max_num_seqs=13")
    assert f"{SERVICE}.profile: 'example' is asked for decode up to 13 sequences, measured up to 8" in text
    assert "lower max_num_seqs to 8, measure a larger decode, or set extrapolate: true" in text
    marked = law(scenario(tmp_path, f"{ENGINE}.max_num_seqs=16", f"{SERVICE}.extrapolate=true"))
    assert marked.level == "published, extrapolated 2.0x"
    assert "lower max_num_batched_tokens to 256" in complaint(tmp_path, f"{ENGINE}.max_num_batched_tokens=512")
    # 400 tokens and more of an answer are a context of 500.
    assert "lower the sizes of the requests to 256" in complaint(
        tmp_path, "workloads.users.sizes.output_tokens={kind: constant, value: 400}"
    )


def test_both_ends_of_the_band_are_known_beyond_the_cells(tmp_path: Path) -> None:
    """Twelve of eight sequences: 1.5 times at least five per cent, of what each sequence takes and of nothing else."""
    numbers = law(scenario(tmp_path)).numbers
    loaded = scenario(tmp_path, f"{ENGINE}.max_num_seqs=12")
    law(loaded)
    assert "beyond, its law is taken to go on, give or take 8%" in " ".join(loaded.files.remarks)
    for end in (-1, 1):
        found = steps_of(loaded.files.opened("example.json"), None, ASKED)[0]
        (item,) = beyond_steps(loaded.files.opened("example.json"), dataclasses.replace(ASKED, decode=12))
        ratio = np.array(at_end(found, item, end).numbers[:4]) / numbers[:4]
        assert ratio == pytest.approx([1, 1, 1 + 0.075 * end, 1])


def test_a_session_may_grow_as_long_as_the_engine_has_room(tmp_path: Path) -> None:
    sessions = "workloads.users.arrivals={kind: sessions, rate: 1/s, turns: 3, think: 1s}"
    text = complaint(tmp_path, sessions, "workloads.users.prompts={history: true}")
    assert "context up to 4080 tokens" in text
    law(scenario(tmp_path, sessions, "workloads.users.prompts={history: true, longest: 256}"))


@pytest.mark.parametrize(
    ("settings", "given", "message"),
    [
        ((f"{SERVICE}.threads=2",), {}, f"{SERVICE}.threads: 'example' is of steps, which have none; leave it out"),
        ((f"{SERVICE}.size=tokens",), {}, f"{SERVICE}.size: 'example' is of steps, which have none; leave it out"),
        ((), {"base": {"form": "table"}}, "has too few cells for a law of its steps; measure more of them"),
        ((), {"status": "rejected"}, "was rejected when it was fitted"),
        ((f"{ENGINE}={{kind: greedy, max_batch: 1}}",), {}, "describes steps of an LLM engine, not batches"),
        (
            (),
            {"kind": "batch", "cells": [({"batch": 1}, MS)], "base": {"form": "table"}},
            f"{SERVICE}.profile: 'example' describes batches, not steps of an LLM engine; name a profile of steps",
        ),
    ],
)
def test_what_cannot_be_used_is_said_in_a_line(
    tmp_path: Path, settings: tuple[str, ...], given: dict[str, Any], message: str
) -> None:
    assert message in complaint(tmp_path, *settings, **given)


def test_the_measured_decoder_serves_an_engine(tmp_path: Path) -> None:
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    given = [f"{SERVICE}.profile=decoder-epyc-1t", f"{ENGINE}.max_num_seqs=16"]
    loaded = load(tmp_path / "scenario.yaml", given)
    found = law(loaded)
    assert found.level == "measured"
    (said,) = [remark for remark in loaded.files.remarks if "steps are" in remark]
    assert 0.03 < float(said.split("off by ")[1].split("%")[0]) / 100 < 0.05
    # Jitter makes means some percent longer than the medians that the base was fitted to.
    base = load_profile(find_profile("decoder-epyc-1t")).fit.base.coefficients
    assert all(1 < mean / median < 1.1 for mean, median in zip(found.numbers[:2], base[:2], strict=True))
    result = run_case(loaded.case())
    assert result.level == "measured"
    assert result.percentile(0.5).value is not None
