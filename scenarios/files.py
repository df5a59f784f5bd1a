"""A folder of results: texts and plots."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from calibration.files import write_whole
from simulator.errors import InputError


def make_folder(folder: Path) -> None:
    """Makes sure that there is a folder to write into. Raises InputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        problem = error.strerror or str(error)
        raise InputError(problem, file=folder, path="--out", fix="name a folder that can be written") from None


def write_folder(folder: Path, texts: Mapping[str, str], charts: Mapping[str, Any]) -> None:
    """Writes texts, and Altair charts as SVG, each whole or not at all. Raises InputError."""
    for name, text in texts.items():
        write_whole(folder / name, text.encode())
    for name, chart in charts.items():
        write_whole(folder / name, picture(chart, "svg"))


def picture(chart: Any, form: Literal["svg", "png"]) -> bytes:
    """An Altair chart as a picture."""
    if form == "svg":
        text = io.StringIO()
        chart.save(text, format=form)
        return text.getvalue().encode()
    pixels = io.BytesIO()
    chart.save(pixels, format=form, scale_factor=2)
    return pixels.getvalue()
