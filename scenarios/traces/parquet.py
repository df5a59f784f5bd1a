"""Parquet files with a column of stamps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scenarios.traces.choosing import Chooser
from scenarios.traces.stamps import UNREADABLE, Rows, parse_number, parse_size, parse_stamp, unit_of
from scenarios.traces.tables import size_columns, stamp_column
from simulator.errors import InputError
from simulator.quantities import SECOND


def read_parquet(path: Path, column: str | None, chooser: Chooser) -> Rows:
    """Stamps and sizes by the names of their columns. Raises InputError."""
    try:
        file = pq.ParquetFile(path)
        names = [str(name) for name in file.schema_arrow.names]
        stamp = stamp_column(names, column, path)
        sizes, looked_at = size_columns(names), chooser.columns(names)
        table = file.read(columns=list(dict.fromkeys([stamp, *sizes.values(), *looked_at])))
    except pa.ArrowException as error:
        problem = str(error).splitlines()[0]
        raise InputError(f"is not a readable Parquet file: {problem}", file=path, fix="check the file") from None
    for values in zip(*(table.column(name).to_pylist() for name in looked_at), strict=True):
        chooser.note(map(str, values))
    return Rows(
        stamps=_column(path, stamp, table.column(stamp), stamps=True),
        sizes={size: _column(path, name, table.column(name), stamps=False) for size, name in sizes.items()},
    )


def _column(path: Path, name: str, values: pa.ChunkedArray[Any], *, stamps: bool) -> list[int]:
    unit = unit_of(name)
    if stamps and pa.types.is_timestamp(values.type):
        # Whether with a zone or without: Parquet keeps the moment in UTC.
        values, unit = values.cast(pa.timestamp("ns")).cast(pa.int64()), 1
    found = []
    for number, value in enumerate(values.to_pylist(), 1):
        try:
            if not stamps:
                found.append(parse_size(str(value)))
            elif isinstance(value, str) and unit is None:
                found.append(parse_stamp(value))
            else:
                found.append(parse_number(str(value), unit or SECOND))
        except UNREADABLE:
            wanted = "a stamp: seconds, a timestamp or ISO 8601" if stamps else "a whole number"
            raise InputError(
                f"row {number}: {str(value)[:60]!r} in column {name} cannot be read",
                file=path,
                fix=f"expected {wanted}",
            ) from None
    return found
