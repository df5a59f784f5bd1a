"""`headroom list`: what can be named."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from calibration.profile import Profile, load_profile, shipped_profiles
from scenarios.load import library, load
from scenarios.pools import catalogue
from scenarios.sheet import Sheet
from scenarios.wording import in_seconds, say
from simulator.component import Component
from simulator.errors import InputError, suggestion
from simulator.plugins import load_plugins
from simulator.quantities import SECOND, format_memory
from simulator.scenario import Scenario
from ui.cli import options
from ui.cli.calibrate.writing import place
from ui.cli.output import print_sheets


def list_names(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="scenarios, profiles, instances or kinds; all of them by default. Or a family of kinds, such as "
            "balancer: its kinds with their fields.",
        ),
    ] = "all",
    plugin: options.Plugins = None,
) -> int:
    """List what can be named: shipped scenarios, profiles, instance types, and every kind of choice."""
    load_plugins(plugin or ())
    makers = {"scenarios": _scenarios, "profiles": _profiles, "instances": _instances, "kinds": _kinds}
    families = Component.families_in(Scenario)
    if what not in ("all", *makers, *families):
        known = [*makers, "all", *families]
        raise InputError(f"{what!r} cannot be listed", path="headroom list", fix=suggestion(what, known))
    if what in families:
        print_sheets([_fields(families[what])])
    else:
        print_sheets([make() for name, make in makers.items() if what in ("all", name)])
    return 0


def _scenarios() -> Sheet:
    rows = [(name, load(name).scenario.title, load(name).scenario.description.strip()) for name in library()]
    return Sheet("Scenarios", ("name", "question", "what it shows"), tuple(rows))


def _profiles() -> Sheet:
    rows = []
    for name, path in shipped_profiles().items():
        profile = load_profile(path)
        graded = profile.status if profile.grade is None else f"{profile.status}, {profile.grade}"
        rows.append((name, profile.level, graded, *_ends(profile)))
    return Sheet("Profiles", ("name", "level", "status, grade", "smallest", "largest"), tuple(rows))


def _ends(profile: Profile) -> tuple[str, str]:
    """The mean time of the smallest and of the largest batch; of a step, the base at the first and at the last cell."""
    if profile.kind == "batch":
        table = profile.table()
        sizes = (1, table.largest_batch())
        one, most = (f"{say(table.mean(size) / SECOND, in_seconds)} at batch {size}" for size in sizes)
    else:
        ends = (profile.cells[0], profile.cells[-1])
        one, most = (f"{say(cell.base_ns / SECOND, in_seconds)} at {place(cell.at)}" for cell in ends)
    return one, most


def _instances() -> Sheet:
    rows = []
    for name, item in catalogue().items():
        device = "" if item.accelerator is None else f"{item.accelerator.count} x {item.accelerator.name}"
        memory = format_memory(item.device_memory())
        rows.append((name, f"${item.price:.4f}/h", str(item.cores), device, memory, item.region, item.price_date))
    columns = ("name", "price", "cores", "accelerator", "device memory", "region", "price date")
    return Sheet("Instance types", columns, tuple(rows))


def _kinds() -> Sheet:
    rows = [
        (name, kind, choice.meaning())
        for name, family in Component.families_in(Scenario).items()
        for kind, choice in family.written().items()
    ]
    return Sheet("Choices", ("family", "kind", "what it does"), tuple(rows))


def _fields(family: type[Component]) -> Sheet:
    """The kinds of a family, each with its fields below it."""
    rows = []
    for kind, choice in family.written().items():
        rows.append((kind, "", "", choice.meaning()))
        for name, field in choice.model_fields.items():
            if name != "kind":
                rows.append(("", name, _default(choice, name), " ".join((field.description or "").split())))
    return Sheet(f"Kinds of {family.family}", ("kind", "field", "unless given", "what it says"), tuple(rows))


def _default(choice: type[Component], name: str) -> str:
    """What a field is where nothing is said of it, as a scenario writes it."""
    field = choice.model_fields[name]
    if field.is_required():
        return "required"
    value = choice.model_construct(**{name: field.get_default(call_default_factory=True)}).model_dump(
        mode="json", include={name}
    )[name]
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)
