"""A validation as one HTML page: its sentence, its charts, its tables."""

from __future__ import annotations

from collections.abc import Mapping

from calibration.live.record import LEVELS, Validation
from scenarios.page import page
from scenarios.validation_sheets import sentence, sheets


def validation_page(found: Validation, pictures: Mapping[str, bytes]) -> str:
    """`pictures` are the charts as SVG, by name."""
    origin = found.provenance
    return page(
        f"{found.device.name} behind {found.setup.label}",
        sentence(found),
        list(pictures.values()),
        sheets(found),
        [f"{level}: {meaning}" for level, meaning in LEVELS.items()],
        f"{origin.command}; {origin.tool}, {origin.started_utc} to {origin.finished_utc}",
    )
