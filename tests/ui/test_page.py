"""The page, run by Streamlit's own test driver: no browser, no mocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

import headroom
from scenarios import load
from scenarios.certainty import latency_of
from scenarios.compare import compare
from scenarios.decision import sentence
from scenarios.strategies import STRATEGIES
from scenarios.wording import in_seconds, interval
from simulator.figures.statistics import Estimate
from ui.question import MOST_REQUESTS, Question
from ui.state import Kept
from ui.views.answer import Figure, card
from ui.wording import plain

APP = Path(__file__).resolve().parents[2] / "ui" / "app.py"
LIMIT = 120
"""Seconds that a run of the page may take on a slow machine."""

TINY = """
schema_version: 1
title: A queue that is solved in a moment
workloads:
  requests: {{model: m, arrivals: {{kind: poisson, rate: 50/s}}}}
models:
  m:
    type: deep
    memory: 1GiB
    stages:
      - pool: serving
        service:
          slow: {{kind: exponential, per_request: 30ms, level: measured}}
          fast: {{kind: exponential, per_request: 10ms, level: measured}}
          small: {{kind: exponential, per_request: 40ms, level: measured}}
pools:
  serving: {{instance: slow, replicas: 3, balancer: central_queue}}
instances:
  slow: {{price: $1/h, cores: 1, memory: 2GiB}}
  fast: {{price: $2/h, cores: 4, memory: 2GiB}}
  small: {{price: $0.5/h, cores: 1, memory: 0.5GiB}}
slos: ["p95(latency)<150ms"]
run: {{duration: {seconds}s, warmup: 10s, replications: 10}}
"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library of two scenarios: one solved at once, one that takes seconds."""
    (tmp_path / "tiny.yaml").write_text(TINY.format(seconds=70))
    (tmp_path / "tiny_long.yaml").write_text(TINY.format(seconds=500))
    monkeypatch.setattr(load, "LIBRARY", tmp_path)


def opened(**link: str) -> AppTest:
    """The page as a link opens it."""
    page = AppTest.from_file(APP, default_timeout=LIMIT)
    for name, value in link.items():
        page.query_params[name] = value
    return page.run()


def button(page: AppTest, label: str) -> Button:
    return next(found for found in page.button if found.label == label)


def press(page: AppTest, label: str, timeout: float = LIMIT) -> AppTest:
    return button(page, label).click().run(timeout=timeout)


def field(page: AppTest, label: str) -> Any:
    """The field with a label, of whatever kind."""
    fields = (*page.selectbox, *page.number_input, *page.slider, *page.get("button_group"))
    return next(item for item in fields if item.label.startswith(label))


def answer_of(page: AppTest) -> tuple[object, ...]:
    """Everything that an answer shows."""
    boxes = [box.value for box in (*page.success, *page.warning, *page.error)]
    figures = [(metric.label, metric.value) for metric in page.metric], [note.value for note in page.caption]
    charts = [(chart.proto.spec, chart.proto.alt) for chart in page.get("vega_lite_chart")]
    tables = [table.value.to_csv() for table in page.table]
    return boxes, figures, charts, tables


def expected(question: Question) -> str:
    """What the command line would answer."""
    base = load.load(question.scenario)
    return plain(sentence(compare(question.loaded(base), STRATEGIES)))


def test_every_shipped_scenario_opens() -> None:
    assert load.library()
    for name in load.library():
        page = opened(scenario=name)
        assert not page.exception
        assert not page.error
        assert field(page, "Scenario").value == name
        assert not button(page, "Compare").disabled


def test_before_the_first_run_it_says_what_to_do(tiny: None) -> None:
    page = opened()
    assert not page.exception
    assert [box.value for box in page.info] == [
        "Choose a scenario on the left, change what you like, and press Compare."
    ]
    assert not page.get("vega_lite_chart")
    assert "50.0 requests per second" in "".join(note.value for note in page.caption)


def test_changed_fields_are_what_is_simulated(tiny: None) -> None:
    page = opened()
    field(page, "Load").set_value(1.4)
    field(page, "Instance type").set_value("fast")
    field(page, "Replicas").set_value(2)
    page.run()
    assert "70.0 requests per second" in "".join(note.value for note in page.caption)
    press(page, "Compare")
    assert not page.exception
    question = Question("tiny", (("load", 1.4), ("pools.serving.instance", "fast"), ("pools.serving.replicas", 2)))
    assert [box.value for box in page.success] == [expected(question)]
    labels = [metric.label for metric in page.metric]
    assert labels == ["p95 latency", "Cost per hour", "Cost per 1,000 requests", "Load of capacity"]
    assert dict(page.query_params) == {
        "scenario": "tiny",
        "load": "1.4",
        "pools.serving.instance": "fast",
        "pools.serving.replicas": "2",
    }


def test_every_view_has_a_chart_that_says_what_it_shows(tiny: None) -> None:
    page = press(opened(), "Compare")
    shown = {}
    for view in ("Latency distribution", "Timeline", "Where the time goes"):
        field(page, "View").set_value(view).run()
        assert not page.exception
        frontier, chart = page.get("vega_lite_chart")
        assert frontier.proto.alt.startswith("Cost per hour against p95 latency")
        shown[view] = chart.proto.alt
    assert shown["Latency distribution"].startswith("Share of requests slower")
    assert shown["Timeline"].startswith("Arrivals per second")
    assert "compute" in shown["Where the time goes"]
    field(page, "Option").set_value("3 x fast").run()
    assert "3 x fast" in page.get("vega_lite_chart")[1].proto.alt


def test_a_link_asks_the_same_question(tiny: None) -> None:
    page = opened(**{"scenario": "tiny", "load": "1.4", "pools.serving.replicas": "2", "title": "not a field"})
    assert field(page, "Load").value == 1.4
    assert field(page, "Replicas").value == 2
    assert not page.error


@pytest.mark.parametrize("wrong", [{"load": "nan"}, {"pools.serving.replicas": "many"}, {"scenario": "nowhere"}])
def test_a_link_that_makes_no_sense_is_ignored(tiny: None, wrong: dict[str, str]) -> None:
    page = opened(**{"scenario": "tiny", **wrong})
    assert not page.exception
    assert not page.error
    assert field(page, "Load").value == 1.0


def test_each_scenario_keeps_its_own_changes(tiny: None) -> None:
    page = opened()
    field(page, "Replicas").set_value(7).run()
    field(page, "Scenario").set_value("tiny_long").run()
    assert field(page, "Replicas").value == 3
    field(page, "Scenario").set_value("tiny").run()
    assert field(page, "Replicas").value == 7


def test_an_answer_is_marked_when_the_fields_have_changed_since(tiny: None) -> None:
    page = press(opened(), "Compare")
    assert not page.warning
    field(page, "Replicas").set_value(4).run()
    assert page.warning[0].value.startswith("Outdated")
    assert page.success
    field(page, "Replicas").set_value(3).run()
    assert not page.warning


def test_a_new_answer_forgets_an_option_that_it_does_not_have(tiny: None) -> None:
    page = press(opened(), "Compare")
    field(page, "View").set_value("Timeline").run()
    field(page, "Option").set_value("3 x fast").run()
    field(page, "Replicas").set_value(5).run()
    press(page, "Compare")
    assert not page.exception
    assert "3 x fast" not in field(page, "Option").options
    assert field(page, "Option").value in field(page, "Option").options


def test_an_overload_is_called_one(tiny: None) -> None:
    page = opened()
    field(page, "Replicas").set_value(1).run()
    press(page, "Compare")
    assert not page.exception
    assert page.warning[0].value == plain("Overloaded: 1 x slow, which you run now, is offered 150% of its capacity.")
    assert page.success[0].value.endswith("misses them" + plain("."))


def test_what_cannot_be_simulated_is_said_in_one_line(tiny: None) -> None:
    page = opened()
    field(page, "Instance type").set_value("small").run()
    assert not page.exception
    assert len(page.error) == 1
    assert "needs 1GiB of device memory, small has 512MiB" in page.error[0].value
    assert "\n" not in page.error[0].value
    assert page.info[0].value.startswith("Mend")
    assert button(page, "Compare").disabled


def test_more_requests_than_the_app_takes_are_refused(tiny: None) -> None:
    page = opened(scenario="tiny_long")
    field(page, "Replications").set_value(200).run()
    assert len(page.error) == 1
    assert f"the app takes {MOST_REQUESTS:,}" in page.error[0].value


def test_a_broken_scenario_is_said_in_one_line(tiny: None) -> None:
    (load.LIBRARY / "another.yaml").write_text("schema_version: 1\ntitle: [")
    page = opened(scenario="another")
    assert not page.exception
    assert len(page.error) == 1


def test_broken_off_and_resumed_gives_the_very_same_answer(tiny: None) -> None:
    page = opened(scenario="tiny_long")
    with pytest.raises(RuntimeError, match="timed out"):
        press(page, "Compare", timeout=1)
    kept = page.session_state["known"]
    assert kept, "nothing was simulated within a second"
    assert "answer" not in page.session_state, "it was through within a second"
    before = dict(kept)
    button(page, "Compare").set_value(False)
    field(page, "Replications").set_value(9).run()
    field(page, "Replications").set_value(10).run()
    assert "Compare goes on from there" in page.info[0].value
    press(page, "Compare")
    assert all(kept[key] is replication for key, replication in before.items())
    whole = press(opened(scenario="tiny_long"), "Compare")
    assert answer_of(page) == answer_of(whole)


def test_kept_replications_are_bounded_and_their_loss_changes_nothing(tiny: None) -> None:
    loaded = load.load("tiny")
    kept, none = Kept(most=8_000), Kept(most=0)
    first = compare(loaded, STRATEGIES, known=kept)
    assert 0 < kept.requests <= 8_000
    assert kept.requests == sum(len(replication.arrived) for replication in kept.values())
    for known in (kept, none, None):
        again = compare(loaded, STRATEGIES, known=known)
        assert sentence(again) == sentence(first)
    assert len(none) == 1


def test_what_is_never_answered_fits_its_card() -> None:
    """The word for it was cut at the edge of the card; the sign for it is not, and the word stands below it."""
    assert card("p95", Estimate(float("inf"), 0.5, float("inf")), in_seconds) == Figure(
        "p95", "∞", "unanswered (500 ms to ∞)"
    )
    assert card("p95", Estimate(float("inf"), reason="too short"), in_seconds) == Figure(
        "p95", "∞", "unanswered: too short"
    )
    assert card("p95", Estimate(0.08, 0.07, 0.09), in_seconds) == Figure("p95", "80.0 ms", "70.0 to 90.0")


def test_what_the_inputs_leave_open_is_shown_part_by_part(tiny: None) -> None:
    page = opened()
    assert "Stated rates are" not in [box.label for box in page.selectbox], "nothing to spread without draws"
    assert "What the inputs leave open" not in page_views(page)
    field(page, "Profiles and load are").set_value(5).run()
    field(page, "Stated rates are").set_value(20).run()
    press(page, "Compare")
    assert not page.exception
    assert dict(page.query_params) == {"scenario": "tiny", "input_uncertainty": "5", "load_uncertainty": "20"}
    (told,) = (box.value for box in (*page.success, *page.warning))
    assert "of 5 draws of the load" in told
    alone = headroom.run(load.load("tiny"), input_uncertainty=5, load_uncertainty=0.2)
    whole = latency_of(alone, 0.95)
    assert page.subheader[0].value == plain("What you run now: 3 x slow")
    assert interval(whole, in_seconds) in [note.value for note in page.caption], (
        "the card has the interval of all parts"
    )
    assert whole.half_width > 1.5 * alone.percentile(0.95).half_width
    field(page, "View").set_value("What the inputs leave open").run()
    assert not page.exception
    table = page.table[1].value
    assert list(table.columns)[-4:] == ["Monte Carlo", "Load", "Profile", "Extrapolation"]
    (row,) = (row for row in table.itertuples(index=False) if row[0] == "latency p95")
    assert row[3].startswith("± ")
    assert row[4] == row[5] == plain("n/a")
    assert any("draws of the load" in note.value for note in page.caption)


def test_a_link_asks_for_draws(tiny: None) -> None:
    page = opened(scenario="tiny", input_uncertainty="10", load_uncertainty="5")
    assert (field(page, "Profiles and load are").value, field(page, "Stated rates are").value) == (10, 5)
    page = opened(scenario="tiny", input_uncertainty="7", load_uncertainty="5")
    assert field(page, "Profiles and load are").value == 0, "no such choice"


def test_draws_without_profiles_or_traces_take_nothing_but_say_so(tiny: None) -> None:
    page = opened(**{"scenario": "tiny", "input_uncertainty": "5", "run.replications": "2"})
    press(page, "Compare")
    field(page, "View").set_value("What the inputs leave open").run()
    assert not page.exception
    notes = [row[1] for row in page.table[1].value.itertuples(index=False) if row[0] == "taken for known"]
    assert any("no service time comes from a profile" in note for note in notes)
    field(page, "Profiles and load are").set_value(0).run()
    press(page, "Compare")
    assert not page.exception, "the view that is gone is forgotten"
    assert "What the inputs leave open" not in page_views(page)


def page_views(page: AppTest) -> list[str]:
    """The views that an answer offers; none without one."""
    groups: list[Any] = list(page.get("button_group"))
    return [option.content for item in groups if item.label == "View" for option in item.proto.options]
