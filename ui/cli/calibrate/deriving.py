"""`headroom calibrate derive`: a profile of what was not measured, by a rule, with the band it is believed in."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from calibration import derive as rules
from calibration.profile import Profile, find_profile, load_profile, save_profile
from calibration.tables import FREE
from scenarios.sheet import Sheet
from simulator.errors import InputError
from ui.cli import options
from ui.cli.calibrate.writing import milliseconds, place
from ui.cli.output import print_sheets, talk


class Rule(StrEnum):
    """How to go from what was measured to what was not."""

    ROOFLINE = "roofline"
    AMDAHL = "amdahl"
    TENSOR_PARALLEL = "tensor-parallel"
    BEYOND = "beyond"


def derive(
    bases: Annotated[
        list[str],
        typer.Argument(metavar="BASE...", help="The profile to start from; for amdahl two, on different threads."),
    ],
    rule: Annotated[Rule, typer.Option("--rule", help="See docs/fitting.md.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="Profile to write.")],
    source: Annotated[str, typer.Option("--source", help="Where the facts of the change are from.")],
    bandwidth: Annotated[
        str | None, typer.Option("--bandwidth", metavar="FROM:TO", help="roofline: memory bandwidths, in one unit.")
    ] = None,
    flops: Annotated[
        str | None, typer.Option("--flops", metavar="FROM:TO", help="roofline: arithmetic speeds, in one unit.")
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", help="amdahl: threads to derive for.")] = None,
    gpus: Annotated[int | None, typer.Option("--gpus", help="tensor-parallel: GPUs to split over.")] = None,
    efficiency: Annotated[
        str, typer.Option("--efficiency", metavar="LOW:HIGH", help="tensor-parallel: worth of each further GPU.")
    ] = "0.5:0.9",
    batch: Annotated[int | None, typer.Option("--batch", help="beyond: the larger batch size.")] = None,
    allow: Annotated[
        bool, typer.Option("--allow-extrapolation", help=f"beyond: more than {FREE:g} times the largest batch.")
    ] = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Derive a profile of other hardware, threads, GPUs or batch sizes; its level says that it was not measured."""
    profiles = [load_profile(find_profile(name)) for name in bases]
    if rule is not Rule.AMDAHL and len(profiles) > 1:
        raise InputError(f"{rule.value} starts from one profile, not {len(profiles)}", path="BASE", fix="name one")
    base, name = profiles[0], out.name.removesuffix(".json")
    match rule:
        case Rule.ROOFLINE:
            ratios = (_ratio("bandwidth", bandwidth), _ratio("flops", flops))
            profile = rules.roofline(base, *ratios, name, source)
        case Rule.AMDAHL:
            profile = rules.amdahl(profiles, _needed("threads", threads), name, source)
        case Rule.TENSOR_PARALLEL:
            shares = _ratio("efficiency", efficiency)
            band = (shares.before, shares.after)
            profile = rules.tensor_parallel(base, _needed("gpus", gpus), band, name, source)
        case Rule.BEYOND:
            profile = rules.beyond(base, _needed("batch", batch), name, source, allow)
    save_profile(profile, out)
    print_sheets([_sheet(profile)])
    talk(f"- {profile.limits[0]}\nwritten: {out}", quiet)


def _needed(name: str, value: int | None) -> int:
    if value is None:
        raise InputError(
            "is not given, and the rule needs it", path=f"--{name}", fix="see headroom calibrate derive -h"
        )
    return value


def _ratio(name: str, text: str | None) -> rules.Ratio:
    before, _, after = (text or "").partition(":")
    try:
        return rules.Ratio(name, float(before), float(after))
    except ValueError:
        problem = "is not given, and the rule needs it" if text is None else f"{text!r} is not two numbers"
        raise InputError(problem, path=f"--{name}", fix="write them such as 300:864") from None


def _sheet(profile: Profile) -> Sheet:
    refits = profile.fit.refits
    rows = []
    for number, cell in enumerate(profile.cells):
        moved = sorted(row[number][0] for row in refits.ratios) if refits else [1.0]
        ends = [milliseconds(cell.base_ns * ratio) for ratio in (moved[0], moved[-1])]
        rows.append((place(cell.at), milliseconds(cell.base_ns), *ends))
    return Sheet(f"{profile.name}: {profile.level}", ("cell", "base, ms", "lowest", "highest"), tuple(rows))
