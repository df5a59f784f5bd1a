"""What the page asks: a shipped scenario with the changes that the fields make."""

from __future__ import annotations

import json
from dataclasses import dataclass

from scenarios.load import Loaded, load
from simulator.case import Case
from simulator.errors import InputError
from simulator.scenario import Scenario

Value = str | int | float

LOAD = "load"
"""The change that multiplies the load."""
DRAWS, SPREAD = "input_uncertainty", "load_uncertainty"
"""How many draws of the inputs are run, none being zero; and the standard deviation of stated rates, in percent."""
OWN = (LOAD, DRAWS, SPREAD)
"""Changes of the question itself; every other one is a path of the scenario, as `--set` takes it."""
REPLICATIONS = "run.replications"
MOST_REQUESTS = 2_000_000
"""Requests that one option may simulate, so that an answer stays a matter of a minute or two."""
MOST_DRAWN = 20_000_000
"""The same where draws of the inputs are asked for: some minutes."""


@dataclass(frozen=True)
class Question:
    """A shipped scenario by name, and its changes by path."""

    scenario: str
    changes: tuple[tuple[str, Value], ...] = ()

    def words(self) -> str:
        """The question, such as `evening-rush with load = 1.5`."""
        changes = ", ".join(f"{path} = {value}" for path, value in self.changes)
        return f"{self.scenario} with {changes}" if changes else self.scenario

    @property
    def draws(self) -> int | None:
        """Draws of the inputs, where they are asked for."""
        return int(dict(self.changes).get(DRAWS, 0)) or None

    @property
    def spread(self) -> float | None:
        """Standard deviation of stated rates, as a share of them, where draws are asked for and it is not zero."""
        return float(dict(self.changes).get(SPREAD, 0)) / 100 or None if self.draws else None

    def loaded(self, base: Loaded) -> Loaded:
        """The scenario with its changes, reading files as `base` does. Raises InputError."""
        settings = [f"{path}={json.dumps(value)}" for path, value in self.changes if path not in OWN]
        scenario = load(self.scenario, settings).scenario
        factor = float(dict(self.changes).get(LOAD, 1.0))
        workloads = {
            name: workload.model_copy(update={"arrivals": workload.arrivals.scaled(factor)})
            for name, workload in scenario.workloads.items()
        }
        return base.changed(scenario.model_copy(update={"workloads": workloads}))


def replicas_path(pool: str) -> str:
    """The path of a pool's replicas."""
    return f"pools.{pool}.replicas"


def instance_path(pool: str) -> str:
    """The path of a pool's instance type."""
    return f"pools.{pool}.instance"


def own_values(scenario: Scenario) -> dict[str, Value]:
    """What can be changed, by path, as the scenario itself has it."""
    values: dict[str, Value] = {LOAD: 1.0, DRAWS: 0, SPREAD: 0, REPLICATIONS: scenario.run.replications}
    for name, pool in scenario.pools.items():
        values |= {instance_path(name): pool.instance, replicas_path(name): pool.replicas}
    return values


def offered(case: Case) -> float:
    """Requests per second of all workloads, on average."""
    return sum(case.rate(workload) for workload in case.workloads)


def requests(case: Case, draws: int | None = None) -> int:
    """Requests that an option simulates, about. Raises InputError when they are too many for the app."""
    expected, most = case.requests() * case.replications, MOST_REQUESTS
    if draws is not None:
        expected, most = expected * (1 + 2 * draws), MOST_DRAWN
    if expected > most:
        raise InputError(
            f"each option would simulate {expected:,.0f} requests, the app takes {most:,}",
            path=REPLICATIONS,
            fix=f"lower it, the load{'' if draws is None else ' or the draws'}, or use headroom compare",
        )
    return round(expected)
