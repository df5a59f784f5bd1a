"""`headroom calibrate check`, `diff` and `verify`: what a profile is worth, against what, and whether it is whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from calibration.differences import WITHIN, Difference, differences
from calibration.fitting.goodness import Judgement
from calibration.fitting.report import CellReport, Errors, LawReport, Report
from calibration.fitting.report import check as check_profile
from calibration.profile import Profile, find_profile, load_profile
from calibration.records import Candidate, Range
from calibration.verification import verify as verify_profile
from scenarios.sheet import Sheet
from ui.cli import options
from ui.cli.calibrate.writing import milliseconds, place, share
from ui.cli.output import print_line, print_sheets, talk

REJECTED = 3

ProfileName = Annotated[str, typer.Argument(metavar="PROFILE", help="Name of a shipped profile, or a profile file.")]


def check(
    name: ProfileName,
    resamples: Annotated[
        int,
        typer.Option("--resamples", min=0, max=999, help="For the p-values of the laws of jitter; 0 leaves them out."),
    ] = 19,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - read where errors are caught
) -> int:
    """Hold a profile against its own samples: left-out cells, later times, other sessions. 3: rejected."""
    path = find_profile(name)
    profile = load_profile(path)
    report = check_profile(profile, path.parent, resamples)
    sheets = [_cells_sheet(profile, report), _unseen_sheet(report)]
    sheets += [_bases_sheet(profile), _laws_sheet(profile, report.laws)]
    print_sheets([sheet for sheet in sheets if sheet.rows])
    for finding in report.findings:
        print_line(f"- {finding.status}: {finding.text}")
    print_line(f"{profile.name}: {report.status}; outside of its cells it says nothing, see calibrate derive")
    if report.status == "degraded":
        talk("warning: usable, but say so with every figure that comes of it", quiet)
    return REJECTED if report.status == "rejected" else 0


def diff(
    first: ProfileName,
    second: Annotated[str, typer.Argument(metavar="OTHER", help="The profile to hold against it.")],
    within: Annotated[
        float, typer.Option("--within", min=0.001, max=1, help="Relative difference that counts as none.")
    ] = WITHIN,
    verbose: options.Verbose = False,  # noqa: ARG001 - read where errors are caught
) -> int:
    """Compare two profiles cell by cell: equivalent, different, or undecided by their refits. 3: some differ."""
    mine, other = (load_profile(find_profile(name)) for name in (first, second))
    found = differences(mine, other, within)
    print_sheets([_differences_sheet(f"{other.name} over {mine.name}", found)])
    counts = {word: sum(one.verdict == word for one in found) for word in ("equivalent", "different", "undecided")}
    print_line(f"within {within:.0%}: {', '.join(f'{count} {word}' for word, count in counts.items())}")
    return REJECTED if counts["different"] else 0


def verify(
    name: ProfileName,
    verbose: options.Verbose = False,  # noqa: ARG001 - read where errors are caught
) -> int:
    """Prove what can be proved of a profile: id, samples, and the same bytes when fitted again. 3: it is not so."""
    steps = verify_profile(find_profile(name))
    rows = tuple((step.what, "yes" if step.holds else "no", step.found) for step in steps)
    print_sheets([Sheet(f"{name}: is it what it says?", ("what", "holds", "found"), rows)])
    return 0 if all(step.holds for step in steps) else REJECTED


def _errors(errors: Errors | None) -> list[str]:
    return ["n/a"] * 3 if errors is None else [f"{error:+.1%}" for error in errors]


def _interval(value: int | None, ends: Range | None) -> list[str]:
    known = "n/a" if value is None else milliseconds(value)
    return [known, f"{milliseconds(ends[0])} to {milliseconds(ends[1])}" if ends else "n/a"]


def _cells_sheet(profile: Profile, report: Report) -> Sheet:
    columns = ("cell", "calls", "effective", "p50, ms", "95 % interval", "p99, ms", "95 % interval", "p99 is")
    rows = tuple(_cell_row(profile, number, one) for number, one in enumerate(report.cells))
    return Sheet(f"{profile.name}: grade {profile.grade}, {profile.fit.clock}", columns, rows)


def _cell_row(profile: Profile, number: int, one: CellReport) -> tuple[str, ...]:
    cell, intervals = one.cell, one.cell.intervals
    jitter = profile.fit.jitter
    p99 = round(cell.base_ns * jitter.ratios[number][jitter.levels.index(0.99)])
    return (
        place(cell.at),
        str(cell.n),
        f"{cell.effective:.0f}" if cell.effective else "n/a",
        *_interval(cell.base_ns, intervals.p50 if intervals else None),
        *_interval(p99, intervals.p99 if intervals else None),
        "stated" if one.stated else "indicative",
    )


def _unseen_sheet(report: Report) -> Sheet:
    columns = (
        "cell",
        "left out: p50",
        "earlier to later half: p50",
        "p95",
        "p99",
        "to another session: p50",
        "p95",
        "p99",
    )
    rows = tuple(
        (
            place(one.cell.at),
            "n/a" if one.left_out is None else f"{one.left_out:+.1%}",
            *_errors(one.later),
            *_errors(one.session),
        )
        for one in report.cells
    )
    return Sheet("error of what was not seen", columns, rows)


def _bases_sheet(profile: Profile) -> Sheet:
    rows = tuple(
        (one.form, str(one.parameters), share(one.p50_error), share(one.worst_error), "yes" if one.chosen else "")
        for one in profile.fit.base.candidates
    )
    return Sheet("base: error at left-out cells", ("form", "parameters", "mean", "worst", "chosen"), rows)


def _laws_sheet(profile: Profile, laws: Sequence[LawReport]) -> Sheet:
    columns = ("law", "held-out p50", "p95", "p99", "W1/mean", "interleaved p95", "p99", "BIC", "p KS", "AD", "CvM")
    tried = {one.form: one for one in profile.fit.jitter.candidates}
    rows = tuple(_law_row(law, tried.get(law.name), law.name == profile.fit.jitter.form) for law in laws)
    title = "jitter: mean error on later times and other sessions, and on every other call (p-values gate nothing)"
    return Sheet(title, columns, rows)


def _law_row(law: LawReport, tried: Candidate | None, chosen: bool) -> tuple[str, ...]:
    bic = tried.bic if tried else None
    return (
        f"{law.name} (chosen)" if chosen else law.name,
        *_judged(law.held_out, (0, 1, 2)),
        share(law.held_out.distance if law.held_out else None),
        *_judged(law.interleaved, (1, 2)),
        "n/a" if bic is None else f"{bic:.0f}",
        *(f"{law.p_values[test]:.2f}" if test in law.p_values else "n/a" for test in ("ks", "ad", "cvm")),
    )


def _judged(one: Judgement | None, which: Sequence[int]) -> list[str]:
    return [share(one.errors[number] if one else None) for number in which]


def _differences_sheet(title: str, found: Sequence[Difference]) -> Sheet:
    rows = tuple(
        (place(one.at), f"p{one.level * 100:g}", f"{one.ratio:.3f}", f"{one.low:.3f} to {one.high:.3f}", one.verdict)
        for one in found
    )
    return Sheet(title, ("cell", "quantile", "ratio", "95 % interval", "verdict"), rows)
