"""The pages in docs are true: their examples run, their scenarios are valid, their tables name every choice."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

import pytest

from scenarios.load import validate
from scenarios.yamlfile import parse_yaml
from simulator.component import Component
from simulator.scenario import Scenario
from ui.cli import main

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = {path.stem: path.read_text() for path in sorted(DOCS.glob("*.md"))}
TABLES = {
    "arrivals": "arrivals",
    "sizes": "sizes",
    "service": "batching",
    "sharing": "devices",
    "balancer": "balancers",
    "discipline": "queues",
    "batching": "batching",
    "autoscaler": "autoscaling",
    "speed": "batching",
    "fault": "faults",
}
"""By family of choices: the page with its table."""
COMMANDS = [line[4:] for text in PAGES.values() for line in text.splitlines() if line.startswith("    headroom ")]
SCENARIOS = [part for text in PAGES.values() for part in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]


@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if ">>> " in text])
def test_the_examples_are_what_python_says(page: str) -> None:
    text = PAGES[page].replace("\n```", "\n\n```")
    example = doctest.DocTestParser().get_doctest(text, {}, page, f"{page}.md", 0)
    said: list[str] = []
    found = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append)
    assert found.attempted
    assert not found.failed, "".join(said)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_run(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(command)[1:])
    told = capsys.readouterr()
    assert ended.value.code == 0, told.err
    assert told.out


@pytest.mark.parametrize("text", SCENARIOS)
def test_the_scenarios_are_valid(text: str) -> None:
    validate(parse_yaml(text, path="docs"))


def test_every_family_can_be_written_and_has_a_page() -> None:
    known = {name for name, family in Component.families.items() if family.__module__.startswith("simulator.")}
    assert known == set(TABLES)
    assert list(Component.families_in(Scenario)) == list(TABLES)


@pytest.mark.parametrize("family", TABLES)
def test_every_choice_is_on_its_page_and_in_the_list(family: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["list", "kinds"])
    listed = capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["list", family])
    assert ended.value.code == 0
    fields = capsys.readouterr().out
    assert all(re.search(rf"^│ {kind} ", fields, re.MULTILINE) for kind in Component.families[family].written())
    page = PAGES[TABLES[family]]
    for kind, choice in Component.families[family].written().items():
        assert re.search(rf"│ {family} +│ {kind} +│", listed), kind
        assert f"| `{kind}` | {choice.meaning()} |" in page, f"{kind} is missing in docs"


def test_links_lead_somewhere_and_the_index_names_every_page() -> None:
    for text in PAGES.values():
        for name in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (DOCS / name).exists(), name
    assert {f"{name}.md" for name in PAGES} - {"index.md"} == set(re.findall(r"\]\(([^)]+)\)", PAGES["index"]))
