"""A validation as one HTML page that needs nothing else: its sentence, its charts, its tables."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from calibration.live.record import LEVELS, Validation
from scenarios.page import STYLE, table
from scenarios.validation_sheets import sentence, sheets


def page(found: Validation, pictures: Mapping[str, bytes]) -> str:
    """`pictures` are the charts as SVG, by name."""
    title = escape(f"{found.device.name} behind {found.setup.label}")
    levels = "".join(f"<li><b>{level}</b>: {escape(meaning)}</li>" for level, meaning in LEVELS.items())
    origin = found.provenance
    facts = f"{origin.command}; {origin.tool}, {origin.started_utc} to {origin.finished_utc}"
    parts = [
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title><style>{STYLE}</style>",
        f"<h1>{title}</h1><p>{escape(sentence(found))}</p><ul>{levels}</ul>",
        *(f"<figure>{picture.decode()}</figure>" for picture in pictures.values()),
        *map(table, sheets(found)),
        f"<p>{escape(facts)}</p></html>",
    ]
    return "\n".join([*parts, ""])
