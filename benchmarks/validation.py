"""Real servers on this machine against the simulator: docs/validation.md's tables, in slices of some minutes each.

    python benchmarks/validation.py mosec mosec-encoder --out records
    python benchmarks/validation.py --out records --write docs/validation.md

Each slice is one `headroom calibrate validate`, whose folder it fills. The machine should do nothing else meanwhile.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from calibration.live.comparison import mean_error
from calibration.live.course import FIGURES
from calibration.live.llm.course import FIGURES as ENGINE_FIGURES
from calibration.live.llm.record import EngineValidation, load_engine_validation
from calibration.live.record import LEVELS, Validation, load_validation
from scenarios.engine_sheets import mean_errors
from ui.cli import main as headroom

SLICES = {
    "mosec": "emulated --server mosec",
    "mosec-roundrobin": "emulated --server mosec --replicas 2 --balancer haproxy-roundrobin --same",
    "mosec-leastconn": "emulated --server mosec --replicas 2 --balancer haproxy-leastconn --same",
    "mosec-encoder": "encoder --server mosec --max-delay 2ms --same",
    "triton": "emulated --server triton",
    "triton-encoder": "encoder --server triton --max-delay 2ms --same",
    "transformers": "llama --server transformers",
    "transformers-emulated": "emulated --server transformers",
}
"""What each slice validates; `--same` leaves the ranking of settings out."""
HEADING = "## What was measured\n"
ENGINES = "## What was measured of an LLM engine\n"
"""Before the other; the page keeps what neither is written over by."""


def run(name: str, seconds: float, repeats: int, triton: Path | None, engine: Path | None, out: Path) -> None:
    """Fills the folder of a slice."""
    words = [*SLICES[name].split(), "--seconds", f"{seconds:g}", "--repeats", str(repeats), "-o", str(out / name)]
    if triton and "triton" in name:
        words += ["--triton", str(triton)]
    if engine and "transformers" in name:
        words += ["--transformers", str(engine)]
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


def engine_section(records: Iterable[EngineValidation]) -> str:
    """The part of the page on engines."""
    text = ENGINES
    for found in records:
        judged = found.judged()
        counts = ", ".join(
            f"{count} {name}"
            for name in ("PASS", "INCONCLUSIVE", "FAIL")
            if (count := sum(one.verdict == name for one in judged))
        )
        capacity = f"{found.capacity:.1f} requests/s, simulated {found.capacity_simulated / found.capacity - 1:+.1%}"
        fit, void = found.causes.fit, sum(bool(run.void) for run in found.runs)
        text += f"\n### {found.setup.label}\n\nHost of grade {found.grade}; {counts or 'no verdict'}; "
        text += f"{void} of {len(found.runs)} runs void, of {found.seconds:g} s each. Capacity {capacity}. "
        text += f"Steps are fitted to {fit.steps}; on {fit.held_out} of another load the mean error of one is "
        text += f"{fit.mean_error:.1%}, that of all together {fit.total_error:+.1%}.\n"
        if found.comparisons:
            text += f"\n{mean_errors(found).markdown()}\n\n{_engine_loads(found)}"
    return f"{text}\n"


def _engine_loads(found: EngineValidation) -> str:
    """What was measured, and the error of the level that is judged beside the speed's own, by load and figure."""
    loads = sorted({one.load for one in found.comparisons})
    text = _line("figure", *(f"{load:.0%}: measured, V1, V2" for load in loads)) + _line(*["---"] * (1 + len(loads)))
    judged = found.judged()
    for figure in ENGINE_FIGURES:
        cells = []
        for load in loads:
            rows = {row.level: row for row in found.comparisons if (row.load, row.figure) == (load, figure)}
            last = rows.get("V2 stalls", rows["V2"])
            verdict = last.verdict if last in judged else "not judged"
            cells.append(f"{last.measured:.4g}, {rows['V1'].error:+.1%}, {last.error:+.1%} ({verdict})")
        text += _line(figure, *cells)
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
    parser.add_argument("--transformers", type=Path, metavar="FOLDER", help="Virtual environment with transformers.")
    parser.add_argument("--out", type=Path, default=Path("validation-records"), help="Folder of the records.")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="Page whose last section the records become.")
    wanted = parser.parse_args()
    if unknown := set(wanted.slices) - set(SLICES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(SLICES)}")
    for name in wanted.slices:
        run(name, wanted.seconds, wanted.repeats, wanted.triton, wanted.transformers, wanted.out)
    if wanted.write is not None:
        paths = {name: wanted.out / name / "validation.json" for name in SLICES}
        there = {name: path for name, path in paths.items() if path.exists()}
        engines = [load_engine_validation(path) for name, path in there.items() if "transformers" in name]
        servers = {name: load_validation(path) for name, path in there.items() if "transformers" not in name}
        wanted.write.write_text(written(wanted.write.read_text(), servers, engines))


def written(page: str, servers: dict[str, Validation], engines: list[EngineValidation]) -> str:
    """The page with what there are records of; the rest of it stays."""
    before, _, after = page.partition(HEADING)
    before, _, told = before.partition(ENGINES)
    told = engine_section(engines) if engines else ENGINES + told if told else ""
    return before + told + (section(servers) if servers else HEADING + after)


if __name__ == "__main__":
    main()
