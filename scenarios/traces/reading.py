"""Reading a trace file, of whatever format.

azure-llm        CSV with TIMESTAMP (wall clock), ContextTokens, GeneratedTokens (Azure LLM inference trace 2023)
azure-functions  CSV with end_timestamp and duration in seconds: a request starts at their difference (2021)
mooncake         JSON lines with timestamp in milliseconds, input_length, output_length, hash_ids
burstgpt         CSV with Timestamp in seconds, Request tokens, Response tokens
access-log       common or combined log format, with its offset from UTC; whole seconds
csv, parquet     a column of stamps: timestamp (seconds or ISO 8601), timestamp_s, _ms, _us, _ns, or the one named;
                 columns input_tokens, output_tokens, bytes are sizes
counts           CSV with second, minute, hour or day (a number) or timestamp, and requests or count
"""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from scenarios.traces.lines import looks_like_a_log, read_access_log, read_mooncake
from scenarios.traces.parquet import read_parquet
from scenarios.traces.stamps import Rows
from scenarios.traces.tables import header_of, read_counts, read_table, tell_table
from simulator.arrays import Chains
from simulator.errors import InputError, suggestion
from simulator.quantities import SECOND
from simulator.sources import Recorded
from simulator.streams import Integers

_DATED = 20 * 365 * 86400 * SECOND  # a stamp that is no date does not count from 1970: it is smaller

FORMATS = ("azure-llm", "azure-functions", "mooncake", "burstgpt", "access-log", "csv", "parquet", "counts")


def read_trace(path: Path, trace_format: str = "auto", column: str | None = None) -> Recorded:
    """The requests of a trace file; `column` names the stamps of CSV or Parquet. Raises InputError with the line."""
    known = (*FORMATS, "auto")
    if trace_format not in known:
        raise InputError(f"{trace_format!r} is not a trace format", file=path, fix=suggestion(trace_format, known))
    if column is not None and trace_format not in ("csv", "parquet", "auto"):
        raise InputError(f"{trace_format} has its own column of stamps", file=path, path="column", fix="leave it out")
    try:
        rows = _read(path, trace_format, column)
    except OSError as error:
        raise InputError(error.strerror or str(error), file=path, fix="check the path of the trace") from None
    except (UnicodeDecodeError, zlib.error, EOFError):
        raise InputError("is not text, nor gzip of text", file=path, fix="give a CSV or JSON lines file") from None
    return _ordered(rows, path)


def binned_share(times: Integers) -> float:
    """Share of gaps that are zero: a trace whose stamps were binned has many."""
    return float(np.mean(np.diff(times) == 0))


def _read(path: Path, trace_format: str, column: str | None) -> Rows:
    with path.open("rb") as raw:
        magic = raw.read(4)
    if trace_format == "parquet" or (trace_format == "auto" and magic == b"PAR1"):
        return read_parquet(path, column)
    opener: Any = gzip.open if magic[:2] == b"\x1f\x8b" else open
    with cast("IO[str]", opener(path, "rt", encoding="utf-8-sig")) as lines:
        return _read_text(iter(lines), path, trace_format, column)


def _read_text(lines: Iterator[str], path: Path, trace_format: str, column: str | None) -> Rows:
    first = next(lines, "")
    if trace_format == "auto":
        trace_format = "csv" if column is not None else _tell(first)
    if trace_format == "mooncake":
        return read_mooncake(itertools.chain([first], lines), path)
    if trace_format == "access-log":
        return read_access_log(itertools.chain([first], lines), path)
    if trace_format == "counts":
        return read_counts(first, lines, path)
    return read_table(first, lines, path, trace_format, column)


def _tell(first: str) -> str:
    """The format, by the first line."""
    if first.lstrip().startswith("{"):
        return "mooncake"
    return "access-log" if looks_like_a_log(first) else tell_table(header_of(first))


def _ordered(rows: Rows, path: Path) -> Recorded:
    if len(rows.stamps) < 2:
        raise InputError(f"holds {len(rows.stamps)} requests", file=path, fix="a trace needs at least two")
    times = np.array(rows.stamps, dtype=np.int64)
    order = np.argsort(times, kind="stable")
    first = int(times[order[0]])
    times = times[order] - first
    if times[-1] == 0 and not rows.interval:
        raise InputError("all requests have the same stamp", file=path, fix="a trace needs time to pass")
    sizes = {name: np.array(column, dtype=np.int64)[order] for name, column in rows.sizes.items()}
    # Hashes that only some lines tell cannot be used, like sizes.
    hashes = _hashes(rows, order) if len(rows.hashed) == len(times) else None
    return Recorded(times, sizes, rows.interval, hashes, first if first >= _DATED else None)


def _hashes(rows: Rows, order: Integers) -> Chains:
    """The hashes of prompts in the order of their stamps."""
    lengths = np.array(rows.hashed, dtype=np.int64)
    chains = Chains(np.frombuffer(rows.hashes, dtype=np.int64), np.concatenate([[0], np.cumsum(lengths)]))
    return chains.rows(order, lengths[order])
