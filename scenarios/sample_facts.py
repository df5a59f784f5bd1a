"""What the samples of a profile say, as plain rows. Times are in seconds, rounded to six digits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration.profile import Profile
from calibration.records import Cell
from calibration.samples import Samples, read_samples
from scenarios.profile_facts import BEYOND, Row, label, short, spread_out
from simulator.errors import InputError
from simulator.quantities import SECOND
from simulator.streams import Floats

COLUMNS = {"thread_cpu": "cpu_ns", "wall": "wall_ns", "cuda_event": "device_ns"}
"""By clock of the base."""
WORDS = {"wall_ns": "wall", "cpu_ns": "processor", "device_ns": "device"}
SLICES = 100
"""That a session is cut into along its time."""
LAGS = 60
_LEVELS = (0.01, *(round(step / 20, 2) for step in range(1, 20)), 0.97, 0.98, 0.99, 0.995)


@dataclass(frozen=True)
class Sessions:
    """The samples of a profile, session by session; none where a file is missing or another."""

    samples: tuple[Samples, ...]
    missing: tuple[str, ...] = ()
    """Why there are none, a sentence a file."""


def find_samples(profile: Profile, folder: Path) -> Sessions:
    """The samples that lie beside a profile, if they are those that it was fitted to."""
    found, missing = [], []
    for session in profile.sessions:
        path = folder / Path(session.file).name
        try:
            file = read_samples(path)
        except InputError as error:
            missing.append(f"{path.name}: {error.problem}.")
            continue
        if file.sha256 == session.sha256:
            found.append(file.samples)
        else:
            missing.append(f"{path.name} is not the file that the profile was fitted to: its SHA-256 is another.")
    return Sessions((), tuple(missing)) if missing else Sessions(tuple(found))


def session_names(sessions: Sessions) -> list[str]:
    """What the sessions are called."""
    return [f"session {place}" for place in range(1, len(sessions.samples) + 1)]


def _times(profile: Profile, cell: Cell, samples: Samples) -> Floats:
    """The calls of a cell by the clock of the base, in nanoseconds, in the order of time."""
    times: Floats = samples.measured(profile.place(cell), COLUMNS[profile.fit.clock]).astype(np.float64)
    return times


def _levels(*counts: int) -> Floats:
    """Those levels that enough calls lie on both sides of."""
    levels = np.array(_LEVELS)
    least = min(counts)
    return levels[(least * (1 - levels) >= BEYOND - 1e-9) & (least * levels >= BEYOND - 1e-9)]


def table_rows(profile: Profile, sessions: Sessions) -> list[Row]:
    """Quantiles of each session against those of the profile, of some cells."""
    rows = []
    jitter = dict(zip(map(profile.place, profile.cells), profile.fit.jitter.ratios, strict=True))
    for cell in spread_out(profile.cells):
        for name, samples in zip(session_names(sessions), sessions.samples, strict=True):
            times = _times(profile, cell, samples)
            levels = _levels(len(times))
            fitted = cell.base_ns * np.interp(levels, profile.fit.jitter.levels, jitter[profile.place(cell)])
            for level, said, seen in zip(levels, fitted, _quantiles(times, levels), strict=True):
                rows.append(
                    {
                        "series": name,
                        "label": label(profile, cell),
                        "level": float(level),
                        "table_s": short(said / SECOND),
                        "samples_s": short(seen / SECOND),
                    }
                )
    return rows


def _quantiles(times: Floats, levels: Floats) -> Floats:
    found: Floats = np.quantile(times, levels) if len(times) else np.zeros(0)
    return found


def half_rows(profile: Profile, sessions: Sessions) -> list[Row]:
    """Quantiles of the later half of every session against those of the earlier one, of some cells."""
    rows = []
    for cell in spread_out(profile.cells):
        halves = [np.array_split(_times(profile, cell, samples) / cell.base_ns, 2) for samples in sessions.samples]
        earlier, later = (np.concatenate([half[side] for half in halves]) for side in (0, 1))
        levels = _levels(len(earlier), len(later))
        for level, before, after in zip(levels, _quantiles(earlier, levels), _quantiles(later, levels), strict=True):
            place = {"series": label(profile, cell), "level": float(level)}
            rows.append({**place, "earlier": short(before), "later": short(after)})
    return rows


def session_rows(profile: Profile, sessions: Sessions) -> list[Row]:
    """Each session's quantiles over those of all sessions, cell by cell; of a single session none."""
    rows = []
    for q in (0.5, 0.95, 0.99) if len(sessions.samples) > 1 else ():
        for cell in profile.cells:
            times = [_times(profile, cell, samples) for samples in sessions.samples]
            if min(map(len, times)) * (1 - q) < BEYOND - 1e-9:
                continue
            whole = np.quantile(np.concatenate(times), q)
            name = ", ".join(str(cell.at[axis]) for axis in profile.axes)
            for session, own in zip(session_names(sessions), times, strict=True):
                ratio = short(np.quantile(own, q) / whole)
                rows.append({"series": session, "quantile": f"p{q * 100:g}", "label": name, "ratio": ratio})
    return rows


def _over_base(profile: Profile, samples: Samples, column: str) -> tuple[Floats, Floats]:
    """(seconds since the session began, calls over the base of their cell), in the order of time.

    The processes of a session that was resumed follow each other: how long it rested is not known.
    """
    columns = samples.columns
    kept = columns["round"] >= 0
    order = np.lexsort((columns["start_ns"][kept], columns["process"][kept]))
    start, process, times = (columns[name][kept][order] for name in ("start_ns", "process", column))
    ends = [int((start + times)[process == one].max()) for one in np.unique(process)]
    offsets = np.cumsum([0, *ends[:-1]])[np.searchsorted(np.unique(process), process)]
    places = np.stack([columns[axis][kept][order] for axis in profile.axes], axis=1)
    bases = {profile.place(cell): cell.base_ns for cell in profile.cells}
    base = np.array([bases.get(tuple(place), np.nan) for place in places.tolist()])
    known = ~np.isnan(base)
    return ((start + offsets) / SECOND)[known], (times / base)[known]


def drift_rows(profile: Profile, sessions: Sessions) -> list[Row]:
    """Calls over their base along the time of each session, by the clock of the base and by the wall."""
    rows = []
    own = COLUMNS[profile.fit.clock]
    for name, samples in zip(session_names(sessions), sessions.samples, strict=True):
        for column in dict.fromkeys(("wall_ns", own)):
            time, ratio = _over_base(profile, samples, column)
            for piece in np.array_split(np.arange(len(time)), min(SLICES, max(1, len(time) // BEYOND))):
                low, mid, high = np.quantile(ratio[piece], (0.1, 0.5, 0.9))
                where = {"series": WORDS[column], "session": name, "time_s": short(time[piece].mean())}
                rows.append({**where, "low": short(low), "median": short(mid), "high": short(high)})
    return rows


def memory_rows(profile: Profile, sessions: Sessions) -> list[Row]:
    """Autocorrelation of the logarithm of wall time over base, by lag, at lags that grow in proportion."""
    rows = []
    for name, samples in zip(session_names(sessions), sessions.samples, strict=True):
        time, ratio = _over_base(profile, samples, "wall_ns")
        count = len(time)
        centred = np.log(ratio) - np.log(ratio).mean()
        if count < 4 * BEYOND or not np.any(centred):
            continue
        spectrum = np.fft.rfft(centred, 2 * count)
        covariance = np.fft.irfft(spectrum * np.conj(spectrum))[:count]
        lags = np.unique(np.rint(np.geomspace(1, count // 4, LAGS)).astype(int))
        step = float(time[-1] - time[0]) / (count - 1)
        for lag in lags.tolist():
            value = round(float(covariance[lag] / covariance[0]), 4)
            rows.append({"series": name, "lag_s": short(lag * step), "value": value})
    return rows


def kept_back(profile: Profile, sessions: Sessions) -> Sequence[str]:
    """Why plots of samples are left out, in sentences; none where they are not."""
    if profile.sessions:
        return sessions.missing
    return [f"A {profile.level} profile has no samples: there is nothing to hold its law against."]
