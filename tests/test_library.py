"""Every shipped scenario, as it stands, and the answer that it is there to give."""

from __future__ import annotations

import pytest

from scenarios.compare import compare
from scenarios.decision import sentence, winner
from scenarios.load import library, load

ANSWERS = {
    "evening-rush": (
        "2 x g4dn.xlarge (horizontal) is the cheapest that meets p95(latency)<400ms and rate(errors)<0.1%: $1.05/h",
        "What you run now, 1-4 x g4dn.xlarge, autoscaled at $1.26/h, misses them.",
    ),
    "one-big-or-many-small": (
        "2 x c7a.medium (horizontal) is the cheapest that meets p99(latency)<50ms and rate(errors)<0.1%: $0.103/h",
        "1 x c7a.large, costs the same and is slower",
    ),
    "resnet50-on-gpus": (
        "2 x g4dn.xlarge (horizontal) is the cheapest that meets p99(latency)<25ms and rate(errors)<0.1%: $1.05/h",
        "The cheapest vertical option that does, 1 x p3.2xlarge, costs 191% more ($3.06/h).",
    ),
}


def test_every_shipped_scenario_has_its_answer_here() -> None:
    assert set(library()) == set(ANSWERS)


@pytest.mark.parametrize("name", ANSWERS)
def test_it_gives_the_expected_answer(name: str) -> None:
    found = compare(load(name), ["vertical", "horizontal"])
    answer = sentence(found)
    for words in ANSWERS[name]:
        assert words in answer
    assert winner(found) is not None
