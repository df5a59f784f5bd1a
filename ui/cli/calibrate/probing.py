"""`headroom calibrate probe` and `plan`: is this host fit to measure on, and what would a measurement take?"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from calibration.measuring.planning import Estimate, estimate
from calibration.measuring.quiet import SECONDS, Quiet, probe_host
from scenarios.plain import to_csv
from scenarios.sheet import Sheet
from ui.cli import options
from ui.cli.calibrate import asking
from ui.cli.calibrate.writing import share
from ui.cli.output import Format, print_line, print_sheets, talk

UNFIT = 3


def probe(
    seconds: Annotated[float, typer.Option("--seconds", help="How long to watch.")] = SECONDS,
    form: options.As = Format.TABLE,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - read where errors are caught
) -> int:
    """Grade this host before measuring on it: the same work, timed under two labels, must come out the same.

    A: hardly disturbed; B; C: noisy, trust medians by the processor clock alone; D: not fit to measure on (exit 3).
    """
    talk(f"watching this host for {seconds:g} s", quiet)
    seen = probe_host(seconds)
    if form is Format.TABLE:
        print_sheets([_quiet_sheet(seen)])
        print_line(f"grade {seen.grade}: {seen.reason}")
    elif form is Format.MD:
        sys.stdout.write(f"{_quiet_sheet(seen).markdown()}\n\nGrade {seen.grade}: {seen.reason}\n")
    elif form is Format.CSV:
        sys.stdout.write(to_csv([seen.model_dump()]))
    else:
        sys.stdout.write(f"{seen.model_dump_json(indent=2)}\n")
    return UNFIT if seen.grade == "D" else 0


def _quiet_sheet(seen: Quiet) -> Sheet:
    rows = (
        ("calls under each label", f"{seen.calls}"),
        ("variation by the wall clock", share(seen.variation)),
        ("variation by the processor clock", share(seen.processor_variation)),
        ("calls worth an independent one", f"{seen.memory:.1f}"),
        ("processor over wall time", share(seen.cpu_over_wall)),
        ("taken by the hypervisor", "n/a" if seen.steal_share is None else share(seen.steal_share)),
        ("used by other processes", "n/a" if seen.others_share is None else share(seen.others_share)),
        ("same work, one label over the other", f"{seen.same_low:.3f} to {seen.same_high:.3f} (95 %)"),
    )
    return Sheet(f"this host, {seen.seconds:g} s", ("what", "seen"), rows)


def plan(
    subject: asking.Subject,
    batches: asking.Batches = None,
    seq: asking.Seq = None,
    prefill: asking.Prefill = None,
    decode: asking.Decode = None,
    context: asking.Context = None,
    threads: asking.Threads = "1",
    rounds: asking.Rounds = None,
    quick: asking.Quick = False,
    seed: asking.Seed = 1,
    device: asking.On = asking.Device.AUTO,
    mode: asking.How = asking.Mode.EAGER,
    dtype: asking.Precision = None,
    input_shape: asking.Shape = None,
    body: asking.Body = None,
    stages: asking.Stages = False,
    form: options.As = Format.TABLE,
    verbose: options.Verbose = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Say what a measurement would take and show, from a trial of a few rounds; nothing is kept."""
    setting = asking.asked_setting(subject, seed, device, mode, dtype, input_shape, body, stages)
    rows: asking.Rows = {"batch": batches, "seq": seq, "prefill": prefill, "decode": decode, "context": context}
    asked = asking.asked_plan(subject, rows, threads, rounds, quick, setting)
    found = estimate(asked)
    sheet, name = _offers_sheet(subject, found), asking.short_name(asked)
    commands = [f"{asking.command_line(asked, asked.rounds)} -o {name}.{session}.samples.parquet" for session in (1, 2)]
    if form is Format.TABLE:
        print_sheets([sheet])
        print_line(_EXPLAINED)
        for command in ("headroom calibrate probe", *commands, f"headroom calibrate fit {name}.*.samples.parquet"):
            print_line(f"  {command}")
    elif form is Format.MD:
        lines = [sheet.markdown(), "", _EXPLAINED, "", *(f"    {command}" for command in commands)]
        sys.stdout.write("\n".join(lines) + "\n")
    elif form is Format.CSV:
        sys.stdout.write(to_csv([offer.model_dump() for offer in found.offers]))
    else:
        sys.stdout.write(f"{found.model_dump_json(indent=2)}\n")


_EXPLAINED = (
    "Shown is the highest quantile with enough calls at each point (MLPerf LoadGen's rule: 99 % confidence, one call "
    "beyond it allowed), if the calls were independent; probe tells how many are worth one, so take so many times more "
    "rounds. What differs between sessions no number of rounds shows: make two, ten minutes apart or more."
)


def _offers_sheet(subject: str, found: Estimate) -> Sheet:
    rows = tuple(
        (str(offer.rounds), _lasts(offer.seconds), _quantile(offer.shows), _lasts(2 * offer.seconds))
        for offer in found.offers
    )
    title = f"{subject}: {found.points} points, {1e3 * found.round_s:.3g} ms a round"
    return Sheet(title, ("rounds", "a session takes", "shows up to", "two sessions"), rows)


def _quantile(level: float | None) -> str:
    return "n/a" if level is None else f"p{100 * level:g}"


def _lasts(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
