"""Real servers on this machine against the simulator: docs/validation.md's tables, in slices of some minutes each.

    python benchmarks/validation.py mosec mosec-encoder --out records
    python benchmarks/validation.py --out records --write docs/validation.md

Each slice is one `headroom calibrate validate`, whose folder it fills. The machine should do nothing else meanwhile.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from calibration.live.comparison import mean_error
from calibration.live.course import FIGURES
from calibration.live.record import LEVELS, Validation, load_validation
from ui.cli import main as headroom

SLICES = {
    "mosec": "emulated --server mosec",
    "mosec-roundrobin": "emulated --server mosec --replicas 2 --balancer haproxy-roundrobin --same",
    "mosec-leastconn": "emulated --server mosec --replicas 2 --balancer haproxy-leastconn --same",
    "mosec-encoder": "encoder --server mosec --max-delay 2ms --same",
    "triton": "emulated --server triton",
    "triton-encoder": "encoder --server triton --max-delay 2ms --same",
}
"""What each slice validates; `--same` leaves the ranking of settings out."""
HEADING = "## What was measured\n"


def run(name: str, seconds: float, repeats: int, triton: Path | None, out: Path) -> None:
    """Fills the folder of a slice."""
    words = [*SLICES[name].split(), "--seconds", f"{seconds:g}", "--repeats", str(repeats), "-o", str(out / name)]
    if triton and "triton" in name:
        words += ["--triton", str(triton)]
    print(f"\n{name}: headroom calibrate validate {' '.join(words)}", flush=True)
    try:
        headroom(["calibrate", "validate", *words])
    except SystemExit as ended:
        print(f"exit code {ended.code}", flush=True)


def section(records: dict[str, Validation]) -> str:
    """The part of the page that the records become."""
    text = f"{HEADING}\n{_counts(records)}\n\n"
    text += f"Mean size of the errors over the loads below capacity.\n\n{_line('run', 'level', *FIGURES)}"
    text += _line(*["---"] * (2 + len(FIGURES)))
    for found in records.values():
        for level in LEVELS:
            errors = [mean_error(found.comparisons, level, figure) for figure in FIGURES]
            if any(error is not None for error in errors):
                shown = ("n/a" if error is None else f"{error:.1%}" for error in errors)
                text += _line(_title(found), level, *shown)
    for found in records.values():
        text += f"\n### {_title(found)}\n\n{_loads(found)}"
    return text


def _title(found: Validation) -> str:
    return f"{found.device.name}: {found.setup.label}"


def _counts(records: dict[str, Validation]) -> str:
    names = ("PASS", "INCONCLUSIVE", "FAIL")
    text = _line("run", "grade", *names, "void runs", "capacity, simulated", "Kendall's tau", "seconds a run")
    text += _line(*["---"] * 9)
    for found in records.values():
        judged = found.judged()
        tau = "not asked" if found.decision is None else f"{found.decision.kendall_tau:.2f}"
        counts = [str(sum(one.verdict == name for one in judged)) for name in names]
        void = f"{sum(bool(run.void) for run in found.runs)} of {len(found.runs)}"
        capacity = f"{found.capacity:.1f}/s, {found.capacity_simulated / found.capacity - 1:+.1%}"
        text += _line(_title(found), found.grade, *counts, void, capacity, tau, f"{found.seconds:g}")
    return text.rstrip()


def _loads(found: Validation) -> str:
    """Errors by load of the level that is judged, each with the floor."""
    text = _line("load", *FIGURES, "verdicts")
    text += _line(*["---"] * (2 + len(FIGURES)))
    judged = {id(one) for one in found.judged()}
    for level in ("V2", "V2 stalls"):
        for load in sorted({one.load for one in found.comparisons if one.level == level}):
            rows = [one for one in found.comparisons if (one.level, one.load) == (level, load)]
            verdicts = {one.verdict for one in rows if id(one) in judged}
            shown = (f"{one.error:+.1%} (floor {one.floor:.1%})" for one in rows)
            text += _line(f"{load:.0%}, {level}", *shown, ", ".join(sorted(verdicts)) or "reported apart")
    return text


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("slices", nargs="*", metavar="SLICE", help=f"Of {', '.join(SLICES)}.")
    parser.add_argument("--seconds", type=float, default=40, help="Of each run.")
    parser.add_argument("--repeats", type=int, default=2, help="Of each load.")
    parser.add_argument("--triton", type=Path, metavar="FOLDER", help="Virtual environment with nvidia-pytriton.")
    parser.add_argument("--out", type=Path, default=Path("validation-records"), help="Folder of the records.")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="Page whose last section the records become.")
    wanted = parser.parse_args()
    if unknown := set(wanted.slices) - set(SLICES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(SLICES)}")
    for name in wanted.slices:
        run(name, wanted.seconds, wanted.repeats, wanted.triton, wanted.out)
    if wanted.write is not None:
        paths = {name: wanted.out / name / "validation.json" for name in SLICES}
        records = {name: load_validation(path) for name, path in paths.items() if path.exists()}
        before, _, _ = wanted.write.read_text().partition(HEADING)
        wanted.write.write_text(before + section(records))


if __name__ == "__main__":
    main()
