"""A validation as tables and a sentence."""

from __future__ import annotations

from calibration.live.comparison import mean_error
from calibration.live.course import FIGURES
from calibration.live.llm.record import EngineValidation
from calibration.live.ranking import change
from calibration.live.record import LEVELS, Comparison, Validation
from scenarios.sheet import Sheet

UNITS = {"throughput": "/s", "mean batch": "", "tokens/s": "", "running": ""}
"""Of figures that are not in milliseconds."""


def sheets(found: Validation) -> list[Sheet]:
    """What `headroom calibrate validate` shows."""
    return [
        _causes(found),
        *([_drift(found)] if found.profile else []),
        runs(found),
        *([errors(found), _accuracy(found)] if found.comparisons else []),
        *([_decision(found)] if found.decision else []),
    ]


def sentence(found: Validation | EngineValidation) -> str:
    """What came of it."""
    judged = found.judged()
    void = sum(bool(run.void) for run in found.runs)
    if not judged:
        return f"Nothing can be concluded: {void} of {len(found.runs)} runs are void. {_reason(found)}"
    counts = {name: sum(one.verdict == name for one in judged) for name in ("PASS", "FAIL", "INCONCLUSIVE")}
    parts = [f"{count} {name}" for name, count in counts.items() if count]
    text = f"{', '.join(parts)} of {len(judged)} verdicts, on a host of grade {found.grade}."
    if void:
        text += f" {void} of {len(found.runs)} runs are void. {_reason(found)}"
    return text


def _reason(found: Validation | EngineValidation) -> str:
    return next((f"The first: {run.void[0]}." for run in found.runs if run.void), "")


def _causes(found: Validation) -> Sheet:
    causes = found.causes
    rows = [
        ("capacity, measured", f"{found.capacity:.1f}/s"),
        (
            "capacity, simulated",
            f"{found.capacity_simulated:.1f}/s ({signed(found.capacity_simulated / found.capacity - 1)})",
        ),
        ("way to an idle server", milliseconds(causes.forward)),
        ("timer late by", milliseconds(causes.late)),
        ("way back", f"{milliseconds(causes.back)} + {milliseconds(causes.back_per_request)} x batch"),
        (
            "gap between batches",
            f"{milliseconds(causes.gap)} + {milliseconds(causes.gap_per_previous)} x batch before"
            f" + {milliseconds(causes.gap_per_next)} x batch after",
        ),
        ("device in the server against alone", f"{causes.service_ratio:.3f}"),
    ]
    return Sheet(f"{found.device.name} behind {found.setup.label}", ("cause", "calibrated"), tuple(rows))


def _drift(found: Validation) -> Sheet:
    """How far the device is today from what the profile of level V3 says of it."""
    rows = [
        (str(cell.size), f"{cell.alone:.4g} ms", f"{cell.profile:.4g} ms", signed(cell.profile / cell.alone - 1))
        for cell in found.cells
        if cell.profile is not None
    ]
    return Sheet(
        f"Drift: {found.profile} against the device alone, medians",
        ("batch", "today", "profile", "off by"),
        tuple(rows),
    )


def runs(found: Validation | EngineValidation) -> Sheet:
    """Each run, and why it says nothing where it does not."""
    rows = [
        (
            f"{run.load:.0%}",
            f"{run.rate:.1f}/s",
            str(run.requests),
            str(run.refused + run.lost),
            f"{run.lag[0]:.2f}, {run.lag[2]:.2f}",
            f"{run.canary_before:.3f}, {run.canary_after:.3f}",
            f"{run.stalls}, {run.stalled_ms:.0f} ms" if run.stalls else "none",
            "; ".join(run.void) or "no",
        )
        for run in found.runs
    ]
    columns = ("load", "rate", "requests", "unanswered", "client late p50, p99, ms", "canary", "stalls", "void")
    return Sheet("Runs of the real server", columns, tuple(rows))


def errors(found: Validation | EngineValidation) -> Sheet:
    """Every comparison, with its verdict."""
    rows = []
    judged = {id(one) for one in found.judged()}
    for one in found.comparisons:
        said = one.verdict if id(one) in judged or one.verdict == "not judged" else "apart"
        rows.append(
            (
                one.level,
                f"{one.load:.0%}",
                one.figure,
                f"{_told(one, one.measured)} → {_told(one, one.simulated)}",
                f"{signed(one.error)} ({signed(one.low)} to {signed(one.high)})",
                f"{one.floor:.1%}",
                "n/a" if one.band is None else f"{one.band:.1%}",
                said,
            )
        )
    columns = ("level", "load", "figure", "measured → simulated", "error (95 % interval)", "floor", "band", "verdict")
    return Sheet("Measured against simulated", columns, tuple(rows))


def _accuracy(found: Validation) -> Sheet:
    rows = []
    for level in LEVELS:
        sizes = [mean_error(found.comparisons, level, figure) for figure in FIGURES]
        apart = [one for one in found.distances if one.level == level and one.load < 1]
        if any(error is not None for error in sizes):
            worst = [max((getattr(one, name) for one in apart), default=None) for name in ("w1_over_mean", "ks", "qq")]
            shown = [*("n/a" if error is None else f"{error:.1%}" for error in sizes)]
            rows.append((level, *shown, *("n/a" if value is None else f"{value:.3f}" for value in worst)))
    columns = ("level", *FIGURES, "W1/mean", "KS", "QQ, log ratio")
    return Sheet("Mean size of the errors over loads below capacity; largest distances", columns, tuple(rows))


def _decision(found: Validation) -> Sheet:
    assert found.decision is not None
    rows = [
        (change(one.setup), f"{one.measured_p95:.4g} ms", f"{one.simulated_p95:.4g} ms")
        for one in sorted(found.decision.variants, key=lambda one: one.measured_p95)
    ]
    same = "the same best" if found.decision.same_best else "another best"
    rate = found.decision.variants[0].rate
    title = f"Settings ranked by p95 at {rate:.0f}/s: Kendall's tau {found.decision.kendall_tau:.2f}, {same}"
    return Sheet(title, ("(largest batch, delay)", "measured p95", "simulated p95"), tuple(rows))


def _told(one: Comparison, value: float) -> str:
    return f"{value:.4g}{UNITS.get(one.figure, ' ms')}"


def milliseconds(nanoseconds: float) -> str:
    """To three figures."""
    return f"{nanoseconds / 1e6:.3g} ms"


def signed(share: float) -> str:
    """With its sign."""
    return f"{share:+.1%}"
