"""Cold starts: how long fresh processes take until they can serve, each step of them timed once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from calibration.measuring.plan import Plan
from calibration.measuring.session import measure
from calibration.samples import FreshStart
from simulator.errors import InputError, MeasurementError

_ROOT = Path(__file__).resolve().parents[2]


def fresh_starts(plan: Plan, count: int) -> tuple[FreshStart, ...]:
    """What that many processes, one after the other, did before they could serve. Raises InputError.

    Each is a new interpreter; its own start, and what it reads from the disk's cache, are not told apart.
    """
    if not 0 <= count <= 100:
        raise InputError(f"{count} is out of range", path="--cold", fix="choose 0 to 100")
    return tuple(_fresh_start(plan) for _ in range(count))


def _fresh_start(plan: Plan) -> FreshStart:
    path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    end = subprocess.run(
        [sys.executable, "-m", "calibration.measuring.fresh"],
        input=plan.model_dump_json(),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    if end.returncode:
        said = (end.stderr.strip() or "it said nothing").split("\n")[-1]
        raise MeasurementError(f"a fresh process ended with {end.returncode}: {said}")
    return FreshStart.model_validate_json(end.stdout)


def _main() -> None:
    plan = Plan.model_validate_json(sys.stdin.read())
    smallest = plan.model_copy(update={"points": plan.points[:1], "rounds": 1})
    cold = measure(smallest).session.cold
    if not cold:
        raise MeasurementError(f"{plan.subject} imports nothing: it has no cold start here")
    sys.stdout.write(cold[0].model_dump_json())


if __name__ == "__main__":
    _main()
