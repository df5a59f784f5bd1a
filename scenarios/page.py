"""A result as one HTML page that needs nothing else: a sentence, charts, tables, remarks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from scenarios.sheet import Sheet

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; font-size: 13px; }
th, td { border: 1px solid #ccc; padding: 2px 8px; text-align: left; vertical-align: top; }
svg { max-width: 100%; height: auto; }
"""


def page(
    title: str,
    sentence: str,
    pictures: Sequence[bytes],
    sheets: Sequence[Sheet],
    remarks: Sequence[str] = (),
    origin: str = "",
) -> str:
    """`pictures` are charts as SVG, `remarks` the items of a list after the sentence; `origin` stands at the end."""
    listed = "".join(f"<li>{escape(remark)}</li>" for remark in remarks)
    parts = [
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title><style>{STYLE}</style>",
        f"<h1>{escape(title)}</h1><p>{escape(sentence)}</p>{f'<ul>{listed}</ul>' if listed else ''}",
        *(f"<figure>{picture.decode()}</figure>" for picture in pictures),
        *map(table, sheets),
        f"{f'<p>{escape(origin)}</p>' if origin else ''}</html>",
    ]
    return "\n".join([*parts, ""])


def table(sheet: Sheet) -> str:
    """A sheet under its title."""
    head = "".join(f"<th>{escape(name)}</th>" for name in sheet.columns)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in sheet.rows)
    return f"<h2>{escape(sheet.title)}</h2><table><tr>{head}</tr>{rows}</table>"
