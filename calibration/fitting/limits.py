"""What a measured profile does not say, in words."""

from __future__ import annotations

from calibration.fitting.grade import FLOOR_P99, SPREAD_P99, p99_stated
from calibration.fitting.grid import Clock, Grid
from calibration.records import Base, Cell

MANY_FAULTS = 256
"""Minor page faults of a call, a mebibyte in pages of 4 KiB, from which they are worth a warning."""

_BASE: dict[Clock, str] = {
    "thread_cpu": "The base is the median processor time of the thread, and the jitter is of that clock too: waiting "
    "for a processor that other jobs of the host held is not in the profile, though what they do to "
    "caches, memory and shared cores is.",
    "wall": "The base is the median wall time, because no processor clock tells how long several threads, or "
    "a model that waits for something, take: what other jobs of the host did while measuring is in the base and "
    "in the jitter.",
    "cuda_event": "The base is the median time between two CUDA events around the forward pass: launching it from "
    "the host and waiting for its end are not in it (see wall_ns).",
}
_INTERFERENCE = {
    True: "Interference of other jobs is kept apart, in fit.interference, and used only where a scenario asks for it.",
    False: "Interference of other jobs is not modelled: the profile speaks of this model alone on its machine.",
}
_PROCESS_CLOCK = (
    "cpu_ns is of the whole process: the system books the other threads only at its scheduler's ticks, so the "
    "median reads low for calls of a few milliseconds; and threads that spin while they wait are counted in it."
)
_FREE_PROCESSORS = (
    "The threads need a free processor each: where another job takes one, threads that spin while they wait hold "
    "each other up, and a batch can take many times longer."
)
_FAULTS = "which takes time that a process whose allocator keeps the memory does not pay: see faults."
_BETWEEN = {
    "log_table": "by monotone cubics of the logarithms",
    "power": "as the power law of the base does",
    "roofline": "as the roofline of the base does",
}


def limits(grid: Grid, cells: tuple[Cell, ...], base: Base, top: float, disturbed: bool) -> tuple[str, ...]:
    """Sentences for whoever uses the figures; `top` is the last level of the jitter."""
    texts = [
        _BASE[grid.clock],
        _INTERFERENCE[disturbed],
        _boundary(grid),
        _hull(cells, base, top),
        *_tail(cells),
        *_circumstances(grid, cells),
    ]
    if len(grid.files) == 1:
        texts.append("One session only: how the times differ from one process or day to the next is not known.")
    else:
        texts.append("The base is over all sessions, and the jitter holds what differs between them.")
    if any(file.samples.session.protocol.stop == "interrupted" for file in grid.files):
        texts.append("A session was interrupted; its complete rounds are used.")
    return tuple(texts)


def _boundary(grid: Grid) -> str:
    protocol = grid.session.protocol
    apart = f" Timed apart, and not in the base: {', '.join(protocol.stages)}." if protocol.stages else ""
    return f"Timed is: {protocol.boundary}.{apart} Nothing before or after it is in the profile."


def _hull(cells: tuple[Cell, ...], base: Base, top: float) -> str:
    largest = {axis: max(cell.at[axis] for cell in cells) for axis in cells[0].at}
    where = ", ".join(f"{axis} {value}" for axis, value in largest.items())
    between = f"the base is interpolated {_BETWEEN[base.form]} and the jitter" if base.form in _BETWEEN else "both are"
    between += " linearly" if base.form in _BETWEEN else " interpolated linearly"
    if base.form == "step":
        between = f"the base is the sum of its terms ({' + '.join(base.terms)})"
    if base.form == "step_roofline":
        between = "the base is the roofline form of its five numbers"
    return (
        f"Nothing is known beyond {where}, nor of jitter beyond quantile {top}, where it stays; between the measured "
        f"cells {between}."
    )


def _tail(cells: tuple[Cell, ...]) -> list[str]:
    weak = [cell for cell in cells if not p99_stated(cell)]
    if not weak:
        return []
    fewest = min(cell.effective or 0.0 for cell in weak)
    text = (
        f"p99 is indicative in {len(weak)} of {len(cells)} cells: to be stated it needs {FLOOR_P99} effective calls, "
    )
    text += f"and the weakest cell has {fewest:.0f}"
    if apart := max((cell.between_sessions_p99 for cell in weak if cell.between_sessions_p99), default=None):
        text += (
            f"; and sessions whose p99 differ by at most {SPREAD_P99 - 1:.0%}, and they differ by up to {apart - 1:.0%}"
        )
    return [f"{text}."]


def _circumstances(grid: Grid, cells: tuple[Cell, ...]) -> list[str]:
    environment = grid.session.environment
    texts = [_PROCESS_CLOCK, _FREE_PROCESSORS] if environment.threads > 1 else []
    if faulty := [cell for cell in cells if (cell.faults or 0) >= MANY_FAULTS]:
        places = ", ".join(" ".join(f"{axis} {value}" for axis, value in cell.at.items()) for cell in faulty)
        texts.append(f"At {places} the median call asks the system for memory anew, {_FAULTS}")
    if environment.variables:
        variables = ", ".join(f"{name}={value}" for name, value in environment.variables.items())
        texts.append(f"Measured with {variables}; other settings may give other times.")
    if environment.cpu.virtualised:
        texts.append("Measured inside a virtual machine.")
    return texts
