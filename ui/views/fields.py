"""The fields on the left: which scenario, and what is changed in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from scenarios.load import Loaded, library
from scenarios.pools import instance_type
from scenarios.strategies import ladder
from scenarios.wording import in_dollars, say
from simulator.autoscaling import Manifest
from simulator.case import Case
from simulator.errors import InputError
from simulator.scenario import Pool, Scenario
from ui import state
from ui.question import (
    DRAWS,
    LOAD,
    REPLICATIONS,
    SPREAD,
    Question,
    Value,
    instance_path,
    offered,
    own_values,
    replicas_path,
    requests,
)
from ui.wording import plain

LEAST_LOAD, MOST_LOAD, LOAD_STEP = 0.1, 5.0, 0.1
MOST_REPLICAS = 1000
MOST_REPLICATIONS = 200


@dataclass(frozen=True)
class Filled:
    """The fields, filled with something that can be simulated."""

    question: Question
    loaded: Loaded
    case: Case


def fields() -> Filled | None:
    """Shows the fields; None when what they say cannot be simulated."""
    names = list(library())
    if not names:
        st.error("No scenario is shipped with this installation.")
        return None
    wanted = state.wanted()
    first = names.index(wanted) if wanted in names else 0
    name = st.selectbox("Scenario", names, index=first, key="scenario field")
    try:
        return _changed(name, state.loaded(name))
    except InputError as error:
        st.error(plain(str(error)))
        return None


def _changed(name: str, base: Loaded) -> Filled | None:
    """The fields that change a scenario, each group with room for its note or its error below."""
    own = own_values(base.scenario)
    edit = _Edit(name, state.changes(name, own), own)
    load_note, system_note, run_note = _load(edit), _system(edit, base.scenario), _run(edit)
    _inputs(edit)
    question = Question(name, tuple(sorted(edit.changes.items())))
    state.publish(question)
    try:
        loaded = question.loaded(base)
        case = loaded.case()
        load_note.caption(f"{say(offered(case))} requests per second, on average")
        run_note.caption(f"Each option simulates about {float(f'{requests(case, question.draws):.3g}'):,.0f} requests.")
    except InputError as error:
        at_run = (error.path or "").startswith("run")
        (run_note if at_run else system_note).error(plain(str(error)))
        return None
    return Filled(question, loaded, case)


@dataclass(frozen=True)
class _Edit:
    """Fields over the changes of one scenario; what equals the scenario's own value is no change."""

    scenario: str
    changes: dict[str, Value]
    own: dict[str, Value]

    def number(self, label: str, path: str, most: int, note: str | None = None) -> None:
        """A field for a whole number from one."""
        given = int(self.changes.get(path, self.own[path]))
        most = max(most, int(self.own[path]))
        shown = min(max(given, 1), most)
        self._put(path, st.number_input(label, 1, most, shown, key=self._key(path), help=note))

    def choice(self, label: str, path: str, names: Sequence[str], shown: dict[str, str]) -> None:
        """A field for one of several names."""
        given = self.changes.get(path, self.own[path])
        index = names.index(str(given)) if given in names else names.index(str(self.own[path]))
        self._put(path, st.selectbox(label, names, index, format_func=shown.__getitem__, key=self._key(path)))

    def pick(self, label: str, path: str, shown: dict[int, str], note: str) -> int:
        """A field for one of a few whole numbers, each with the words for it."""
        given = int(self.changes.get(path, self.own[path]))
        index = list(shown).index(given) if given in shown else 0
        key = self._key(path)
        chosen = st.selectbox(label, list(shown), index, format_func=shown.__getitem__, key=key, help=note)
        self._put(path, chosen)
        return chosen

    def multiple(self, label: str, path: str) -> None:
        """A slider for a multiple of what the scenario has."""
        given = float(self.changes.get(path, self.own[path]))
        value = given if LEAST_LOAD <= given <= MOST_LOAD else 1.0
        chosen = st.slider(label, LEAST_LOAD, MOST_LOAD, value, LOAD_STEP, format="%.1f ×", key=self._key(path))
        self._put(path, round(chosen, 3))

    def _put(self, path: str, value: Value) -> None:
        if value == self.own[path]:
            self.changes.pop(path, None)
        else:
            self.changes[path] = value

    def _key(self, path: str) -> str:
        return f"{self.scenario}: {path}"


def _load(edit: _Edit) -> DeltaGenerator:
    edit.multiple("Load (multiple of the scenario's)", LOAD)
    return st.empty()


def _system(edit: _Edit, scenario: Scenario) -> DeltaGenerator:
    """The fields of one pool; where there are several, one is chosen first."""
    names = list(scenario.pools)
    pool = names[0]
    if len(names) > 1:
        pool = st.selectbox("Pool to change", names, key=f"{edit.scenario}: pool")
    kinds = {kind: instance_type(scenario, kind, instance_path(pool)) for kind in ladder(scenario, pool)}
    prices = {kind: f"{kind}, {say(machine.price, in_dollars)}/h" for kind, machine in kinds.items()}
    by_price = sorted(kinds, key=lambda kind: (kinds[kind].price, kind))
    edit.choice("Instance type", instance_path(pool), by_price, prices)
    edit.number(_replicas_label(scenario.pools[pool]), replicas_path(pool), MOST_REPLICAS)
    return st.empty()


def _replicas_label(pool: Pool) -> str:
    if pool.autoscaler.period() is None:
        return "Replicas"
    if isinstance(pool.autoscaler, Manifest):
        return "Replicas at the start (autoscaled by a manifest)"
    low, high = pool.autoscaler.bounds(pool.replicas)
    return f"Replicas at the start (autoscaled, {low} to {high})"


def _run(edit: _Edit) -> DeltaGenerator:
    edit.number(
        "Replications", REPLICATIONS, MOST_REPLICATIONS, "Independent repetitions; more of them narrow the intervals."
    )
    return st.empty()


def _inputs(edit: _Edit) -> None:
    """What is taken for known of the profiles and the load."""
    shown = {0: "taken for known", **{count: f"{count} draws of each" for count in (5, 10, 20)}}
    note = "Repeats every option with refits of its profiles and resamples of traces: it takes that many times longer."
    if edit.pick("Profiles and load are", DRAWS, shown, note):
        spreads = {0: "taken for known", **{share: f"known to ± {share} %" for share in (5, 10, 20)}}
        edit.pick("Stated rates are", SPREAD, spreads, "Their standard deviation, each workload by its own.")
