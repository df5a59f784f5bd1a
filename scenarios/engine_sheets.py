"""A real LLM engine held against the simulator, as tables."""

from __future__ import annotations

from calibration.live.comparison import mean_error
from calibration.live.llm.course import FIGURES
from calibration.live.llm.record import EngineValidation
from calibration.live.record import LEVELS
from scenarios.sheet import Sheet
from scenarios.validation_sheets import errors, milliseconds, runs, signed


def engine_sheets(found: EngineValidation) -> list[Sheet]:
    """What `headroom calibrate validate --server transformers` shows."""
    return [_causes(found), runs(found), *([errors(found), mean_errors(found)] if found.comparisons else [])]


def _causes(found: EngineValidation) -> Sheet:
    causes, fit = found.causes, found.causes.fit
    parts = (("token", fit.token), ("request", fit.sequence), ("1,000 keys", fit.key * 1e3))
    step = " + ".join([milliseconds(fit.fixed), *(f"{milliseconds(cost)} a {what}" for what, cost in parts)])
    rows = (
        ("capacity, measured", f"{found.capacity:.1f}/s"),
        (
            "capacity, simulated",
            f"{found.capacity_simulated:.1f}/s ({signed(found.capacity_simulated / found.capacity - 1)})",
        ),
        ("way to an idle engine", milliseconds(causes.there)),
        ("way back", milliseconds(causes.back)),
        ("a step", f"{step} + {milliseconds(fit.pair * 1e6)} for a million pairs of a token and a key"),
        ("on the wall, with pauses between steps", f"{fit.scale:.3f} times as long"),
        (
            f"on {fit.held_out} steps of another load",
            f"mean error {fit.mean_error:.1%}, all together {signed(fit.total_error)}",
        ),
    )
    return Sheet(found.setup.label, ("cause", f"calibrated from {fit.steps} steps"), rows)


def mean_errors(found: EngineValidation) -> Sheet:
    """By figure and level, over the loads."""
    levels = [level for level in LEVELS if any(one.level == level for one in found.comparisons)]
    rows = []
    for figure in FIGURES:
        sizes = [mean_error(found.comparisons, level, figure) for level in levels]
        rows.append((figure, *("n/a" if size is None else f"{size:.1%}" for size in sizes)))
    return Sheet("Mean size of the errors over the loads", ("figure", *levels), tuple(rows))
