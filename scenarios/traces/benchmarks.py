"""The requests of a benchmark, out of the result that it wrote."""

from __future__ import annotations

from pathlib import Path

from calibration.importers import read_load_test
from calibration.observation import Column
from scenarios.traces.stamps import Rows
from simulator.errors import InputError

_TOKENS = ("input_tokens", "output_tokens")


def read_requests(path: Path) -> Rows:
    """When requests were due, or else were sent, and their tokens. Raises InputError.

    Those of which the file does not tell when, or does not tell tokens that it tells of others, are left out.
    """
    told = [one.requests for one in read_load_test(path) if one.requests is not None]
    if len(told) != 1:
        what = f"the requests of {len(told)} loads" if told else "no requests one by one"
        raise InputError(f"holds {what}", file=path, fix="write them for one load, such as with --save-detailed")
    requests = told[0]
    due = requests.intended_ns
    stamps = due if due is not None and None not in due else requests.sent_ns
    if stamps is None:
        raise InputError("does not tell when requests were sent", file=path, fix="write a newer form of it")
    columns: dict[str, Column] = {name: column for name in _TOKENS if (column := getattr(requests, name)) is not None}
    columns = {name: column for name, column in columns.items() if any(value is not None for value in column)}
    rows = Rows(sizes={name: [] for name in columns})
    for place, stamp in enumerate(stamps):
        sizes = {name: column[place] for name, column in columns.items()}
        if stamp is None or None in sizes.values():
            continue
        rows.stamps.append(stamp)
        for name, size in sizes.items():
            assert size is not None
            rows.sizes[name].append(size)
    return rows
