"""Records of `calibration.standalone` read as samples: one session for each subject.

A process that was cut off is a process like any other: its complete rounds count. The raw rows keep what samples do
not have: how long launching took, and how long the device waited between two calls.
"""

from __future__ import annotations

import gzip
import io
import statistics
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from pydantic import ValidationError

from calibration.axes import AxisName
from calibration.environment import GpuReading, Load, Probe, Provenance, Spread
from calibration.files import read_whole
from calibration.gathering.record import Facts, Made, Slice
from calibration.measuring.nvml import REASONS
from calibration.measuring.probes import load
from calibration.samples import FreshStart, Protocol, Samples, Session
from calibration.standalone.store import CALLS, FORMAT, READINGS
from calibration.subjects import Subject
from simulator.component import problems
from simulator.errors import InputError
from simulator.streams import Integers

_FIX = "copy the folder again, whole, or measure again"
_COUNTS = ("switches", "faults")


def gather(folder: Path) -> dict[str, Samples]:
    """The samples of every subject in the folder that was measured, by a name for their file. Raises InputError."""
    facts = _facts(folder / "facts.json")
    calls = _rows(folder / "calls.csv.gz", facts, CALLS)
    readings = _rows(folder / "readings.csv.gz", facts, READINGS)
    _check(calls, facts, folder / "calls.csv.gz")
    found, first = {}, 0
    for place, planned in enumerate(facts.subjects):
        mine = _Mine(facts, place, first, calls, readings)
        first += len(planned.points)
        if not mine.cells:
            continue
        if not mine.made:
            problem = f"no slice says how {planned.network} was made"
            raise InputError(problem, file=folder / "facts.json", path="slices", fix=_FIX)
        try:
            found[f"{planned.network}-{planned.dtype}-{planned.mode}"] = mine.samples()
        except ValidationError as error:
            where, problem = problems(error)[0]
            raise InputError(problem, file=folder / "facts.json", path=where, fix=_FIX) from None
    if not found:
        raise InputError("holds no complete round", file=folder, fix="run calibration.standalone again; it goes on")
    return found


def _facts(path: Path) -> Facts:
    content = read_whole(path, "record of calibration.standalone")
    try:
        facts = Facts.model_validate_json(content)
    except ValidationError as error:
        where, problem = problems(error)[0]
        raise InputError(problem, file=path, path=where, fix=_FIX) from None
    if facts.format != FORMAT:
        raise InputError(f"{facts.format} is not {FORMAT}", file=path, path="format", fix="update Headroom")
    return facts


def _rows(path: Path, facts: Facts, names: tuple[str, ...]) -> dict[str, Any]:
    """The columns of a file of rows, as much of it as counts."""
    content, size = read_whole(path, "file of rows"), facts.bytes.get(path.name, 0)
    if len(content) < size:
        raise InputError(f"holds {len(content)} of the {size} bytes that were written", file=path, fix=_FIX)
    try:
        text = gzip.decompress(content[:size])
        table = pyarrow.csv.read_csv(io.BytesIO(text))
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        problem = f"cannot be read ({' '.join(str(error).split())})"
        raise InputError(problem, file=path, fix=_FIX) from None
    if tuple(table.column_names) != names:
        raise InputError(f"has not the columns {', '.join(names)}", file=path, fix=_FIX)
    columns = {}
    for name in names:
        column = table[name]
        if name == "phase":
            columns[name] = np.array(column.to_pylist(), dtype=str)
            continue
        if table.num_rows and (not pa.types.is_integer(column.type) or column.null_count):
            raise InputError(f"holds {column.type}, not whole numbers", file=path, path=name, fix=_FIX)
        columns[name] = np.array(column.to_pylist(), dtype=np.int64)
    return columns


def _check(calls: dict[str, Any], facts: Facts, path: Path) -> None:
    cells = sum(len(planned.points) for planned in facts.subjects)
    bounds = {"process": len(facts.slices), "cell": cells, "collected": 2}
    for name, beyond in bounds.items():
        if np.any((calls[name] < 0) | (calls[name] >= beyond)):
            raise InputError(f"holds numbers that are not from 0 to {beyond - 1}", file=path, path=name, fix=_FIX)
    if not set(calls["phase"].tolist()) <= {"cold", "warm", "measure"}:
        raise InputError("holds other words than cold, warm and measure", file=path, path="phase", fix=_FIX)
    ends = np.cumsum([part.rounds for part in facts.slices], dtype=np.int64)
    if np.any(calls["round"] >= ends[calls["process"]]):
        raise InputError("holds rounds that facts.json does not count", file=path, path="round", fix=_FIX)
    if np.any(calls["wall_ns"] <= 0):
        raise InputError("holds times that are not above 0", file=path, path="wall_ns", fix=_FIX)
    if sum(part.rounds for part in facts.slices) != facts.rounds:
        problem = f"{facts.rounds} is not the sum of the rounds of its slices"
        raise InputError(problem, file=path.with_name("facts.json"), path="rounds", fix=_FIX)


class _Mine:
    """What of the record belongs to one subject."""

    def __init__(
        self, facts: Facts, place: int, first: int, calls: dict[str, Any], readings: dict[str, Integers]
    ) -> None:
        self._facts, self._planned = facts, facts.subjects[place]
        self.made = [(part, one) for part in facts.slices for one in part.subjects if one.subject == place]
        points, wanted = self._planned.points, calls["cell"]
        ours = (wanted >= first) & (wanted < first + len(points))
        self._calls = {name: values[ours] for name, values in calls.items()}
        self.cells = self._keep_whole_rounds()
        self._first, self._readings = first, readings

    def _keep_whole_rounds(self) -> list[int]:
        """Cells, and the processes that measured all of them: those that come to the most calls.

        A process may have had no time or no room for some cells; the fit asks for every cell in every round.
        """
        calls = self._calls
        timed = calls["round"] >= 0
        by_process = {
            process: frozenset(calls["cell"][timed & (calls["process"] == process)].tolist())
            for process in sorted(set(calls["process"].tolist()))
        }

        def whole(cells: frozenset[int]) -> list[int]:
            return [process for process, measured in by_process.items() if measured >= cells]

        def worth(cells: frozenset[int]) -> int:
            return len(cells) * sum(self._facts.slices[process].rounds for process in whole(cells))

        cells = max(by_process.values(), key=worth, default=frozenset())
        kept = np.isin(calls["process"], whole(cells)) & np.isin(calls["cell"], sorted(cells))
        self._calls = {name: values[kept] for name, values in calls.items()}
        return sorted(cells)

    def samples(self) -> Samples:
        """As a session of Headroom's own measuring has them."""
        calls, points = self._calls, self._planned.points
        axes = tuple(points[0])
        places = calls["cell"] - self._first
        columns = {"process": calls["process"], "round": calls["round"]}
        columns |= {axis: np.array([point[axis] for point in points], dtype=np.int64)[places] for axis in axes}
        names = ["start_ns", "wall_ns", "cpu_ns"]
        names += ["device_ns"] if self._facts.environment.device == "cuda" else []
        names += [*_COUNTS, "collected"] if self._facts.environment.os.startswith("Linux") else ["collected"]
        columns |= {name: calls[name] for name in names}
        return Samples(self._session(axes), tuple(calls["phase"].tolist()), columns)

    def _session(self, axes: tuple[AxisName, ...]) -> Session:
        facts, slices = self._facts, self._facts.slices
        probes = tuple(self._probes())
        return Session(
            subject=self._subject(self.made[0][1]),
            environment=facts.environment.environment(),
            protocol=self._protocol(axes),
            load=self._load(probes),
            provenance=Provenance(
                tool=f"calibration.standalone, {facts.environment.code_sha256}",
                git_commit=None,
                git_dirty=None,
                command="python -m calibration.standalone",
                started_utc=slices[0].started_utc,
                finished_utc=slices[-1].finished_utc,
            ),
            # Only the first model that a process builds finds the process fresh.
            cold=tuple(filter(None, (_start(part, one) for part, one in self.made if part.subjects[0] is one))),
            probes=probes,
        )

    def _subject(self, made: Made) -> Subject:
        planned = self._planned
        facts = made.model_dump(include={"description", "parameters", "weights", "weights_sha256", "inputs"})
        return Subject(name=planned.network, origin="built-in", dtype=planned.dtype, mode=planned.mode, **facts)

    def _protocol(self, axes: tuple[AxisName, ...]) -> Protocol:
        facts, points, slices = self._facts, self._planned.points, self._facts.slices
        return Protocol(
            axes=axes,
            points=tuple(sorted(tuple(points[cell - self._first].values()) for cell in self.cells)),
            rounds=len(set(self._calls["round"].tolist()) - {-1}),
            rounds_asked=slices[-1].rounds_asked,
            seed=facts.seed,
            warmup=facts.protocol["warmup"],
            boundary=facts.protocol["boundary"],
            wall_clock=slices[0].clock.name,
            cpu_clock="thread" if facts.environment.threads == 1 else "process",
            stop="complete" if slices[-1].stop == "complete" else "interrupted",
        )

    def _probes(self) -> Iterable[Probe]:
        for process, part in enumerate(self._facts.slices):
            ours = self._readings["process"] == process
            times = self._readings["at_ns"][ours]
            for seen in part.host:
                gpu = None
                if len(times):
                    nearest = int(np.argmin(np.abs(times - seen.at_ns)))
                    gpu = _reading({name: int(self._readings[name][ours][nearest]) for name in READINGS})
                yield Probe(**dict(seen), process=process, gpu=gpu)

    def _load(self, probes: Sequence[Probe]) -> Load:
        clock = self._facts.slices[0].clock
        known: dict[str, Any] = {"clock_resolution_ns": clock.resolution_ns, "clock_overhead_ns": clock.overhead_ns}
        fields = {"gpu_sm_mhz": "sm_mhz", "gpu_memory_mhz": "memory_mhz", "gpu_temperature_c": "temperature_c"}
        known |= {field: _spread(self._readings[name]) for field, name in fields.items()}
        power = self._readings["power_mw"]
        known["gpu_power_w"] = _spread(power[power >= 0] / 1000)
        seen = np.bitwise_or.reduce(self._readings["reasons"][self._readings["reasons"] > 0], initial=0)
        return load(probes).model_copy(update={**known, "gpu_slowed_by": _reasons(int(seen))})


def _start(part: Slice, made: Made) -> FreshStart | None:
    if made.first_call_ns is None or made.warm_up_ns is None:
        return None
    return FreshStart(
        import_ns=part.import_ns,
        build_ns=made.build_ns,
        first_call_ns=made.first_call_ns,
        warm_up_ns=made.warm_up_ns,
    )


def _reading(values: dict[str, int]) -> GpuReading:
    known = {name: value if value >= 0 else None for name, value in values.items()}
    return GpuReading(
        sm_mhz=known["sm_mhz"],
        memory_mhz=known["memory_mhz"],
        power_w=values["power_mw"] / 1000 if known["power_mw"] is not None else None,
        temperature_c=known["temperature_c"],
        slowed_by=_reasons(max(0, values["reasons"])),
    )


def _reasons(bits: int) -> tuple[str, ...]:
    return tuple(sorted(word for bit, word in REASONS.items() if bits & bit))


def _spread(values: Any) -> Spread | None:
    known = [float(value) for value in values if value >= 0]
    return Spread(smallest=min(known), median=statistics.median(known), largest=max(known)) if known else None
