"""Manifests in the styles of many projects: each is looked over, imported and run; mutations give no traceback.

Who adds a style puts its file into tests/manifests; `SIGNALS` in filling.py says what a metric of no known name is.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from filling import SIGNALS, filled
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios.cluster import Source, skeleton
from scenarios.load import Loaded, load
from scenarios.lookup import Files
from scenarios.manifests import CONVERTERS, Document, apart, bind, lint, read, try_out
from scenarios.scaling_lint import Looked, lint_against
from scenarios.yamlfile import format_yaml, parse_documents, parse_yaml
from simulator.errors import InputError
from simulator.figures.replications import run_case
from simulator.scenario import Scenario

HERE = Path(__file__).parent / "manifests"
FILES = sorted(path for path in HERE.iterdir() if path.suffix != ".md")


def test_there_are_ten_styles_and_more() -> None:
    assert len(FILES) >= 14


def of_engines(autoscaler: Any, documents: Sequence[Document]) -> None:
    """Of caches that only LLM engines have, the skeleton's models tell nothing: how busy they are stands for them."""
    if isinstance(autoscaler, dict):
        reads = bind(documents, autoscaler.get("bind"), autoscaler.get("name")).autoscaler.reads()
        caches = {name.rpartition("/")[2]: "utilisation" for name, one in reads.items() if one.signal == "kv_cache"}
        if caches:
            autoscaler["bind"] = {**autoscaler.get("bind", {}), **caches}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_style_is_looked_over_imported_and_run(path: Path, tmp_path: Path) -> None:
    documents = apart(read([path]))
    assert not [one for one in lint(documents) if one.code == "not-read"]
    scalers = [one for one in documents if one.kind in CONVERTERS]
    for one in scalers:
        trial = try_out(one, documents)
        bound = bind(documents, {name: SIGNALS.get(name, "utilisation") for name in trial.missing}, one.name)
        assert bound.source == one.source
        assert bound.autoscaler.reads()
    found = skeleton([Source(str(path), tuple(documents))])
    file = tmp_path / "scenario.yaml"
    data = filled(parse_yaml(found.text()))
    for pool in data["pools"].values():
        of_engines(pool["autoscaler"], documents)
    file.write_text(format_yaml(data))
    case = load(file, ["run={duration: 1m, replications: 1}"]).case()
    number = next(place for place, pool in enumerate(case.pools) if pool.autoscaler.period() is not None)
    assert lint_against(Looked(case, number, scalers[0], documents)) is not None
    result = run_case(case)
    assert result.tallies[0].lives[number].scaling


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "x", "5m", "Pods", "-1", "1e99", "FILL IN"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "name", "a"]), inner, max_size=2)
    ),
    max_leaves=4,
)
OBJECTS = {
    path.stem: json.dumps([one for one in parse_documents(path.read_text()) if one], default=str) for path in FILES
}


def _paths(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(found for key, child in children for found in _paths(child, (*path, key)))]


def _changed(data: st.DataObject) -> list[Any]:
    """The objects of one of the files, with one part replaced or gone."""
    changed = json.loads(OBJECTS[data.draw(st.sampled_from(sorted(OBJECTS)))])
    where = data.draw(st.sampled_from([one for one in _paths(changed) if one]))
    node: Any = changed
    for key in where[:-1]:
        node = node[key]
    if data.draw(st.booleans()) and isinstance(node, dict):
        del node[where[-1]]
    else:
        node[where[-1]] = data.draw(JUNK)
    return changed  # type: ignore[no-any-return]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_manifest_gives_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any part of any of the files becomes something else; what is written of it is a scenario, but for the blanks."""
    file = tmp_path_factory.mktemp("fuzz") / "m.json"
    file.write_text("\n---\n".join(json.dumps(one) for one in _changed(data)))
    with contextlib.suppress(InputError):
        documents = read([file])
        lint(documents)
        documents = tuple(apart(documents))
        with contextlib.suppress(InputError):
            bind(documents)
        found = skeleton([Source(str(file), documents)])
        written = parse_yaml(found.text())
        assert written == found.plain
        scenario = Scenario.model_validate(filled(written))
        case = Loaded(scenario, Files(file.parent), "fuzz").case()
        scalers = [one for one in documents if one.kind in CONVERTERS]
        for number, pool in enumerate(case.pools):
            if pool.autoscaler.period() is not None:
                lint_against(Looked(case, number, scalers[0], documents))
