"""The public page."""

from __future__ import annotations

import doctest
import re

import headroom


def test_the_page_exports_what_it_says() -> None:
    assert sorted(headroom.__all__) == sorted(
        name
        for name in vars(headroom)
        if not name.startswith("_") and name not in ("annotations", "Progress", "run_case", "doubt_of", "doubted")
    )
    assert headroom.__doc__ is not None
    for name in headroom.__all__:
        assert re.search(rf"\b{name}\b", headroom.__doc__), f"{name} is not in the table of contents"


def test_its_examples_work() -> None:
    found = doctest.testmod(headroom, optionflags=doctest.ELLIPSIS)
    assert found.attempted > 0
    assert found.failed == 0


def test_a_script_reaches_a_decision() -> None:
    loaded = headroom.load("resnet50-on-gpus", ["run.replications=2", "run.duration=12s", "run.warmup=1s"])
    comparison = headroom.compare(loaded, ["vertical"])
    assert isinstance(headroom.sentence(comparison), str)
    assert comparison.current.label == "1 x g4dn.xlarge"
