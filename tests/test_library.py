"""Every shipped scenario, as it stands, and the answer that it is there to give."""

from __future__ import annotations

import json

import pytest

from headroom import run
from scenarios.compare import compare
from scenarios.decision import sentence, winner
from scenarios.load import library, load
from simulator.autoscaling import Manifest
from simulator.run.engine import simulate
from ui.cli import main as headroom

ANSWERS = {
    "agents-with-long-prompts": (
        "2 x p5.4xlarge (horizontal) is the cheapest that meets p95(ttft)<300ms per class=chat and "
        "mean(tpot)<20ms per class=chat: $13.8/h",
        "What you run now, 1 x p5.4xlarge at $6.88/h, misses them.",
    ),
    "chat-on-h100": (
        "2 x p5.4xlarge (horizontal) is the cheapest that meets p95(ttft)<100ms and mean(tpot)<15ms and "
        "rate(errors)<0.1%: $13.8/h",
        "What you run now, 1 x p5.4xlarge at $6.88/h, misses them.",
    ),
    "evening-rush": (
        "2 x g4dn.xlarge (horizontal) is the cheapest that meets p95(latency)<400ms and rate(errors)<0.1%: $1.05/h",
        "What you run now, 1-4 x g4dn.xlarge, autoscaled at $0.982/h, misses them.",
    ),
    "llama-70b-tensor-parallel": (
        "1 x 4xH100 (vertical) is the cheapest that meets p95(ttft)<1s and mean(tpot)<60ms: $27.5/h",
        "The cheapest horizontal option that does, 3 x 4xA100, costs 50% more ($41.2/h).",
    ),
    "one-big-or-many-small": (
        "2 x c7a.medium (horizontal) is the cheapest that meets p99(latency)<50ms and rate(errors)<0.1%: $0.103/h",
        "1 x c7a.large, costs the same and is slower",
    ),
    "prefill-decode-split": (
        "prefill: 2 x p5.4xlarge, decode: 2 x p5.4xlarge (current) is the cheapest that meets p95(ttft)<500ms and "
        "p95(tpot)<13.5ms: $27.5/h",
    ),
    "resnet50-on-gpus": (
        "2 x g4dn.xlarge (horizontal) is the cheapest that meets p99(latency)<25ms and rate(errors)<0.1%: $1.05/h",
        "The cheapest vertical option that does, 1 x p3.2xlarge, costs 191% more ($3.06/h).",
    ),
}
FAILURES = {
    "slow-gpu-start": ("20m", "2"),
    "wrong-metric": ("20m", "2"),
    "percent-only": ("15m", "4"),
    "autoscaler-flapping": ("20m", "2"),
    "keda-cooldown": ("20m", "2"),
    "averaged-twice": ("20m", "2"),
    "shared-quota": ("30m", "3"),
}
"""Scenarios whose autoscaler fails, beside a manifest that does not; how much of them, and how often, shows it."""


def test_every_shipped_scenario_has_its_answer_here() -> None:
    assert set(library()) == {*ANSWERS, *FAILURES}


@pytest.mark.parametrize("name", ANSWERS)
def test_it_gives_the_expected_answer(name: str) -> None:
    found = compare(load(name), ["vertical", "horizontal"])
    answer = sentence(found)
    for words in ANSWERS[name]:
        assert words in answer
    assert winner(found) is not None


@pytest.mark.parametrize("name", FAILURES)
def test_the_failing_autoscaler_fails_and_the_fixed_one_holds(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    until, count = FAILURES[name]
    words = ["-f", f"manifests/{name}-fixed.yaml", name, "--until", until, "-n", count, "-q"]
    words += ["--pool", failing(name), "--yardstick", "0"]
    with pytest.raises(SystemExit) as ended:
        headroom(["autoscaler", "compare", *words, "--format", "json"])
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["old"]["met"], told["new"]["met"]) == (False, True)
    if name == "autoscaler-flapping":
        flaps = told["figures"]["flaps_per_hour"]
        assert flaps["before"]["value"] > 5 * flaps["after"]["value"]


LINT = {
    "slow-gpu-start": "window-shorter-than-start",
    "wrong-metric": "waiting-only",
    "percent-only": "percent-only",
    "autoscaler-flapping": "window-shorter-than-start",
    "keda-cooldown": "straight-to-zero",
    "averaged-twice": "average-twice",
    "shared-quota": "max-beyond-quota",
}
"""By scenario: what shows of its failure without a run."""


@pytest.mark.parametrize("name", FAILURES)
def test_what_fails_shows_without_a_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for file, shows in ((name, True), (f"{name}-fixed", False)):
        words = ["-f", f"manifests/{file}.yaml", name, "--pool", failing(name), "--format", "json"]
        with pytest.raises(SystemExit) as ended:
            headroom(["autoscaler", "lint", *words])
        assert ended.value.code == 0
        found = [one["code"] for one in json.loads(capsys.readouterr().out)["findings"]]
        assert (LINT[name] in found) is shows, found


def failing(name: str) -> str:
    """The pool of a scenario that the failing manifest scales."""
    manifest = Manifest(file=f"manifests/{name}.yaml")
    (found,) = [pool for pool, one in load(name).scenario.pools.items() if one.autoscaler == manifest]
    return found


def test_a_bound_on_long_prompts_lets_chats_in_and_smaller_steps_alone_do_not() -> None:
    reached = {}
    for setting in ("long_prefill_token_threshold=1024", "max_num_batched_tokens=2048"):
        settings = ["run.replications=3", f"pools.engines.batching.{setting}"]
        result = run(load("agents-with-long-prompts", settings))
        reached[setting] = result.verdicts[0].estimate.value
        assert result.pools[0].load == pytest.approx(0.26, abs=0.01)
    first, tokens = reached.values()
    assert first is not None
    assert tokens is not None
    assert first < 250e6 < 500e6 < tokens


def test_a_machine_of_which_too_little_is_known_does_not_win() -> None:
    settings = ["slos=['mean(tpot)<90ms']", "run.replications=2"]
    found = compare(load("llama-70b-tensor-parallel", settings), ["vertical"])
    assert sentence(found).startswith("Undecided: 1 x 2xH100 would be the cheapest to meet mean(tpot)<90ms")
    assert winner(found) is None


def test_machines_of_their_own_for_prompts_pay_where_the_time_per_token_is_short() -> None:
    loaded = load("prefill-decode-split", ["run.replications=3"])
    options = {option.label: option.result for option in compare(loaded, ["split"]).options if option.result}
    met = {label: [verdict.met for verdict in result.verdicts] for label, result in options.items()}
    both, apart = options["4 x p5.4xlarge"], options["prefill: 2 x p5.4xlarge, decode: 2 x p5.4xlarge"]
    assert [label for label, verdicts in met.items() if all(verdicts)] == [
        "prefill: 2 x p5.4xlarge, decode: 2 x p5.4xlarge"
    ]
    first, tokens = ([one.verdicts[place].estimate.value or 0 for one in (both, apart)] for place in (0, 1))
    assert first[0] < first[1]
    assert tokens[0] > tokens[1]


def test_one_team_takes_the_machines_of_the_other() -> None:
    """The jobs' HPA leaves two of eight; bounded, it leaves five, and the chat has what it wants."""
    until = ["run.replications=1", "run.duration=30m"]
    for bound, most in (("shared-quota", 2), ("shared-quota-fixed", 5)):
        loaded = load("shared-quota", [f"pools.jobs.autoscaler.file=manifests/{bound}.yaml", *until])
        chat = simulate(loaded.case(), 0).pools[0]
        assert max(decision.desired for decision in chat.scaling) == 5
        assert sum(one.stopped is None for one in chat.machines) == most


def test_a_scenario_with_a_manifest_is_compared_as_any_other() -> None:
    found = compare(load("slow-gpu-start", ["run.replications=2", "run.duration=12m"]), ["horizontal"])
    assert found.current.label == "2-20 x g4dn.xlarge, autoscaled"
