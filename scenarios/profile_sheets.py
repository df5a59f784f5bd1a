"""Tables of a profile: its cells, and what was tried on them. Columns that nothing is known of are left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from calibration.profile import Profile
from calibration.records import Candidate
from scenarios import profile_facts as facts
from scenarios.sheet import Sheet
from scenarios.wording import in_percent, in_seconds, say, spread


def cell_sheet(profile: Profile) -> Sheet:
    """What is known of each cell."""
    rows = []
    for row, cell in zip(facts.cell_rows(profile), profile.cells, strict=True):
        counts = ["n/a" if value is None else f"{value:,.0f}" for value in (cell.n, cell.effective)]
        times = ["n/a" if row[key] is None else say(row[key], in_seconds) for key in ("p50_s", "p95_s", "p99_s")]
        ratio = "n/a" if cell.between_sessions is None else f"{cell.between_sessions:.3f}"
        estimate = facts.base_estimate(cell)
        told = spread(estimate, in_seconds) if estimate.sure else say(row["base_s"], in_seconds)
        rows.append((row["label"], *counts, told, *times, ratio))
    base = "base (95 % interval)" if any(cell.intervals for cell in profile.cells) else "base"
    columns = ("cell", "calls", "worth independent", base, "p50", "p95", "p99", "between sessions")
    clock = facts.CLOCKS[profile.fit.clock].lower()
    return _told(f"{profile.name}: {profile.level} {clock}", columns, rows)


def _told(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Sheet:
    """A table without the columns that nothing is known of."""
    used = [place for place in range(len(columns)) if any(row[place] != "n/a" for row in rows)]
    kept = tuple(tuple(row[place] for place in used) for row in rows)
    return Sheet(title, tuple(columns[place] for place in used), kept)


def candidate_sheet(title: str, candidates: Sequence[Candidate]) -> Sheet:
    """Forms or laws that were tried, and how far off each was."""
    columns: list[tuple[str, Callable[[Candidate], str]]] = [
        ("form", lambda one: facts.form_words(one.form) + ("\N{NO-BREAK SPACE}←" if one.chosen else "")),
        ("parameters", lambda one: str(one.parameters)),
        ("mean off by", lambda one: _percent(one.mean_error)),
        ("p50 off by", lambda one: _percent(one.p50_error)),
        ("p95 off by", lambda one: _percent(one.p95_error)),
        ("p99 off by", lambda one: _percent(one.p99_error)),
        ("worst cell off by", lambda one: _percent(one.worst_error)),
        ("distance", lambda one: _percent(one.distance)),
        ("BIC", lambda one: "n/a" if one.bic is None else f"{one.bic:,.0f}"),
        ("p, KS", lambda one: _p_value(one, "ks")),
        ("p, AD", lambda one: _p_value(one, "ad")),
        ("p, CvM", lambda one: _p_value(one, "cvm")),
    ]
    return _told(title, [name for name, _ in columns], [[tell(one) for _, tell in columns] for one in candidates])


def _percent(value: float | None) -> str:
    return "n/a" if value is None else say(value, in_percent)


def _p_value(candidate: Candidate, test: str) -> str:
    value = {str(name): p for name, p in candidate.p_values.items()}.get(test)
    return "n/a" if value is None else f"{value:.3g}"
