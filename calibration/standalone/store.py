"""The record of a measurement: three files in a folder, which a run that was cut off leaves whole.

`facts.json` is replaced in one stroke and says how much of the other two counts; what a cut-off run may have written
beyond that is dropped by the next. Rows are appended as gzip members, so that the files are plain .csv.gz.
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

FORMAT = 1
CALLS = (
    *("phase", "process", "round", "cell", "start_ns", "wall_ns", "cpu_ns", "launch_ns", "device_ns", "gap_ns"),
    *("switches", "faults", "collected"),
)
READINGS = ("process", "at_ns", "sm_mhz", "memory_mhz", "power_mw", "temperature_c", "reasons")
_FILES = {"calls.csv.gz": CALLS, "readings.csv.gz": READINGS}


class Store:
    """The folder of a measurement. Raises ValueError for one that holds something else."""

    def __init__(self, folder: Path, same: dict[str, Any]) -> None:
        """`same` are the facts that must not change from one process of the measurement to the next."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "facts.json"
        if not path.exists():
            if any((folder / name).exists() for name in _FILES):
                raise ValueError(f"{folder} holds rows but no facts.json; choose another --out")
            self.facts: dict[str, Any] = {"format": FORMAT, **same, "rounds": 0, "slices": [], "bytes": {}}
            for name, columns in _FILES.items():
                (folder / name).write_bytes(b"")
                self._append(name, [",".join(columns)])
            self.keep([], [])
            return
        try:
            self.facts = json.loads(path.read_text(encoding="utf-8"))
            known = {name: int(self.facts["bytes"][name]) for name in _FILES}
            before = {key: self.facts[key] for key in ("format", *same)}
            self.facts["slices"], self.facts["rounds"] = list(self.facts["slices"]), int(self.facts["rounds"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} cannot be read ({type(error).__name__}: {error}); choose another --out") from None
        for key, value in {"format": FORMAT, **same}.items():
            if before[key] != json.loads(json.dumps(value)):
                raise ValueError(f"{folder} was measured with another {key}; choose another --out")
        for name, size in known.items():
            self._cut(name, size)

    def _cut(self, name: str, size: int) -> None:
        path = self._folder / name
        if not path.exists() or path.stat().st_size < size:
            raise ValueError(f"{path} is shorter than facts.json says; choose another --out")
        os.truncate(path, size)

    def _append(self, name: str, lines: list[str]) -> None:
        with (self._folder / name).open("ab") as file:
            file.write(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))
            file.flush()
            os.fsync(file.fileno())
            self.facts["bytes"][name] = file.tell()

    def keep(self, calls: list[str], readings: list[str]) -> None:
        """Appends rows, then the facts that make them count."""
        for name, lines in zip(_FILES, (calls, readings), strict=True):
            if lines:
                self._append(name, lines)
        part = self._folder / "facts.json.part"
        part.write_text(json.dumps(self.facts, indent=1) + "\n", encoding="utf-8")
        part.replace(self._folder / "facts.json")
