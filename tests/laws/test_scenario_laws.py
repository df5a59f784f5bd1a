"""What must hold for every scenario that users can write."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any, Literal

import pytest
from choices import SPECIAL
from hypothesis import Phase, assume, given, settings
from laws_of import lawful
from scenarios_at_random import Written, scenarios

from scenarios.load import format_scenario, load, validate
from scenarios.yamlfile import parse_yaml
from simulator.autoscaling import Autoscaler, Decision, Observation
from simulator.batching import Batching
from simulator.component import Component, temporary_choices
from simulator.scenario import Scenario
from simulator.service import Service
from ui.cli import main

SCHEMA = str(Scenario.model_json_schema())
EVERY_CHOICE = [
    pytest.param(family, kind, id=f"{name}-{kind}")
    for name, family in Component.families.items()
    if f"'title': '{name}'" in SCHEMA
    for kind, choice in family.choices.items()
    if choice not in SPECIAL
]


@settings(max_examples=40)
@given(scenarios())
def test_random_scenarios_obey_the_laws(found: Written) -> None:
    lawful(found.case)


@pytest.mark.parametrize(("family", "kind"), EVERY_CHOICE)
def test_every_choice_can_be_written_and_obeys_the_laws(family: type[Component], kind: str) -> None:
    @settings(max_examples=1)
    @given(scenarios())
    def check(found: Written) -> None:
        assume(re.search(rf"(kind|{family.family}): {kind}\b", found.yaml()))
        lawful(found.case)

    with temporary_choices():
        family.choices = {kind: family.choices[kind]}
        check()


@settings(max_examples=25)
@given(scenarios())
def test_what_users_write_is_what_is_read_and_written_again(found: Written) -> None:
    scenario, key = found.loaded.scenario, found.case.key()
    assert parse_yaml(found.yaml()) == found.data
    text = format_scenario(scenario)
    for data in (parse_yaml(text), scenario.model_dump(), scenario.model_dump(mode="json")):
        again = validate(data)
        assert again == scenario
        assert found.loaded.changed(again).case().key() == key
    assert format_scenario(validate(parse_yaml(text))) == text


@settings(max_examples=12)
@given(scenarios())
def test_the_command_line_runs_every_scenario(tmp_path_factory: pytest.TempPathFactory, found: Written) -> None:
    assert exit_code(saved(tmp_path_factory.mktemp("run"), found.yaml())) in (0, 3)


def test_a_failure_is_shown_as_a_scenario_that_fails_again(tmp_path: Path) -> None:
    with temporary_choices():

        class Bold(Autoscaler):
            kind: Literal["bold"] = "bold"

            def period(self) -> int:
                return 150 * 10**6

            def decide(self, state: Any, observation: Observation, now: int) -> Decision:
                return Decision(state, observation.desired + 1, "why not, whatever the bounds")

        # With fewer kinds the simplest is found sooner.
        for family, kinds in ((Autoscaler, ("bold",)), (Service, ("deterministic",)), (Batching, ("none", "dynamic"))):
            family.choices = {kind: family.choices[kind] for kind in kinds}

        @settings(phases=(Phase.generate, Phase.shrink), report_multiple_bugs=False)
        @given(scenarios())
        def check(found: Written) -> None:
            lawful(found.case)

        with pytest.raises(AssertionError) as caught:
            check()
        (shown,) = (note for note in caught.value.__notes__ if "schema_version" in note)
        file = saved(tmp_path, shown)
        with pytest.raises(AssertionError) as again:
            lawful(load(file).case())
        assert again.traceback[-1].name == caught.traceback[-1].name == "stays_within_bounds"
        assert exit_code(file) in (0, 3)
    assert "autoscaler: bold" in shown
    assert len(shown.splitlines()) < 40, "it is as simple as it can be"


def saved(folder: Path, text: str) -> Path:
    file = folder / "scenario.yaml"
    file.write_text(text)
    return file


def exit_code(file: Path) -> int | str | None:
    """Of `headroom run`: 0, or 3 where an objective is missed."""
    with contextlib.redirect_stdout(io.StringIO()), pytest.raises(SystemExit) as ended:
        main(["run", str(file), "--replications", "2", "--quiet"])
    return ended.value.code
