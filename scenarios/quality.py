"""Whether what is served is good enough: the qualities that people give, held against the least that they ask for.

Nothing here is simulated or measured: a quality is a figure of the user's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from simulator.model import Model
from simulator.scenario import Scenario


def qualities(scenario: Scenario) -> dict[str, float | None]:
    """What is known of each model that is rated, as its pools serve it; None where nothing is."""
    return {name: _served(scenario, model) for name, model in scenario.models.items() if _rated(model)}


def quality_text(scenario: Scenario) -> str:
    """The same in words, such as `0.97`; nothing where no model is rated."""
    told = {name: "?" if value is None else f"{value:g}" for name, value in qualities(scenario).items()}
    return ", ".join(told.values() if len(told) == 1 else [f"{name} {text}" for name, text in told.items()])


def shortfall(scenario: Scenario) -> str:
    """Which model is served below the least quality that is asked for; nothing where none is."""
    for name, value in qualities(scenario).items():
        least = scenario.models[name].min_quality
        if value is not None and least is not None and value < least:
            return f"quality {value:g} of {name} is below {least:g}"
    return ""


def unknown(scenario: Scenario, others: Sequence[Scenario] = ()) -> str:
    """Which model's quality nothing tells, though a least one is asked for or that of other options is known."""
    for name, value in qualities(scenario).items():
        if value is not None:
            continue
        if (least := scenario.models[name].min_quality) is not None:
            return f"nothing tells the quality of {name} on {_where(scenario, name)}, and {least:g} is asked for"
        if any(qualities(other).get(name) is not None for other in others):
            return f"nothing tells the quality of {name} on {_where(scenario, name)}, and that of others is known"
    return ""


def worse(scenario: Scenario, others: Sequence[Scenario]) -> str:
    """Where others do better and no least quality is asked for; nothing where none does."""
    for name, value in qualities(scenario).items():
        if value is None or scenario.models[name].min_quality is not None:
            continue
        best = max([value, *(found for other in others if (found := qualities(other).get(name)) is not None)])
        if best > value:
            return f"Its quality is {value:g} where others reach {best:g}: models.{name}.min_quality would rule it out"
    return ""


def _rated(model: Model) -> bool:
    given = [model.quality, model.min_quality, *(variant.quality for variant in model.variants.values())]
    return any(value is not None for value in given)


def _served(scenario: Scenario, model: Model) -> float | None:
    """The least of the variants on its machines; the model's own where there are none."""
    found = [model.variants[kind].quality for kind in _kinds(scenario, model) if kind in model.variants]
    if not found:
        return model.quality
    known = [value for value in found if value is not None]
    return min(known) if len(known) == len(found) else None


def _kinds(scenario: Scenario, model: Model) -> Iterator[str]:
    for stage in model.stages:
        yield scenario.pools[stage.pool].instance


def _where(scenario: Scenario, name: str) -> str:
    return " and ".join(dict.fromkeys(_kinds(scenario, scenario.models[name])))
