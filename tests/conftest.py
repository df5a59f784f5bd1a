"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

from simulator.quantities import SECOND

pytest.register_assert_rewrite("laws_of")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

# Examples are derived, not random: a test that passes today passes tomorrow. No deadline: machines differ in speed.
settings.register_profile(
    "fixed", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fixed")


@pytest.fixture(autouse=True, scope="module")
def _short_patience(request: pytest.FixtureRequest) -> Iterator[None]:
    """Random cases last for less than a second, and look every few milliseconds: nobody waits an hour for a replica."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.parent.name == "laws":
            patch.setattr("simulator.run.pool._LONG", 60 * SECOND)
        yield


def missing(reason: str) -> NoReturn:
    """Skips a test for want of a part of the system; fails it where everything is required."""
    if os.environ.get("HEADROOM_REQUIRE_ALL") == "1":
        pytest.fail(f"required here, but missing: {reason}")
    pytest.skip(reason)


@pytest.fixture
def shared_data() -> Path:
    """The folder of public traces and measurements, which is not part of the repository."""
    if not SHARED.is_dir():
        missing(f"no public data at {SHARED}")
    return SHARED
