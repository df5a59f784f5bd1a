"""A validation as one HTML page that needs nothing else: its sentence, its charts, its tables."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from calibration.live.record import LEVELS, Validation
from scenarios.sheet import Sheet
from scenarios.validation_sheets import sentence, sheets

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; font-size: 13px; }
th, td { border: 1px solid #ccc; padding: 2px 8px; text-align: left; vertical-align: top; }
svg { max-width: 100%; height: auto; }
"""


def page(found: Validation, pictures: Mapping[str, bytes]) -> str:
    """`pictures` are the charts as SVG, by name."""
    title = escape(f"{found.device.name} behind {found.setup.label}")
    levels = "".join(f"<li><b>{level}</b>: {escape(meaning)}</li>" for level, meaning in LEVELS.items())
    origin = found.provenance
    facts = f"{origin.command}; {origin.tool}, {origin.started_utc} to {origin.finished_utc}"
    parts = [
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title><style>{_STYLE}</style>",
        f"<h1>{title}</h1><p>{escape(sentence(found))}</p><ul>{levels}</ul>",
        *(f"<figure>{picture.decode()}</figure>" for picture in pictures.values()),
        *map(_table, sheets(found)),
        f"<p>{escape(facts)}</p></html>",
    ]
    return "\n".join([*parts, ""])


def _table(sheet: Sheet) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in sheet.columns)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in sheet.rows)
    return f"<h2>{escape(sheet.title)}</h2><table><tr>{head}</tr>{rows}</table>"
