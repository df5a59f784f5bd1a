"""Reading a trace file, of whatever format.

azure-llm        CSV with TIMESTAMP (wall clock), ContextTokens, GeneratedTokens (Azure LLM inference trace 2023)
azure-functions  CSV with end_timestamp and duration in seconds: a request starts at their difference (2021)
mooncake         JSON lines with timestamp in milliseconds, input_length, output_length, hash_ids
burstgpt         CSV with Timestamp in seconds, Request tokens, Response tokens
access-log       common or combined log format, with its offset from UTC; whole seconds
csv, parquet,    a column of stamps: timestamp (seconds or ISO 8601), timestamp_s, _ms, _us, _ns, or the one named;
jsonl            columns input_tokens, output_tokens, bytes are sizes, by these names or others that are usual
load-test        the result of a benchmark that has its requests one by one, as `headroom import loadtest` reads it
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

from scenarios.traces.benchmarks import read_requests
from scenarios.traces.choosing import Chooser
from scenarios.traces.json_lines import read_json_lines, tell_json
from scenarios.traces.lines import looks_like_a_log, read_access_log
from scenarios.traces.parquet import read_parquet
from scenarios.traces.stamps import Rows
from scenarios.traces.tables import header_of, read_counts, read_table, tell_table
from simulator.arrays import Chains
from simulator.errors import InputError, suggestion
from simulator.quantities import SECOND
from simulator.sources import Only, Recorded
from simulator.streams import Integers

_DATED = 20 * 365 * 86400 * SECOND  # a stamp that is no date does not count from 1970: it is smaller

FORMATS = (
    "azure-llm",
    "azure-functions",
    "mooncake",
    "burstgpt",
    "access-log",
    "csv",
    "parquet",
    "jsonl",
    "counts",
    "load-test",
)
COLUMNLESS = ("access-log", "counts", "load-test")


def read_trace(
    path: Path,
    trace_format: str = "auto",
    column: str | None = None,
    only: Only = (),
    session: str | None = None,
) -> Recorded:
    """The requests of a trace file; `column` names the stamps of CSV or Parquet, `session` a column of sessions.

    `only` are columns with the values that are asked for. Raises InputError with the line.
    """
    known = (*FORMATS, "auto")
    if trace_format not in known:
        raise InputError(f"{trace_format!r} is not a trace format", file=path, fix=suggestion(trace_format, known))
    if column is not None and trace_format not in ("csv", "parquet", "jsonl", "auto"):
        raise InputError(f"{trace_format} has its own column of stamps", file=path, path="column", fix="leave it out")
    chooser = Chooser(only, session, path)
    try:
        rows = _read(path, trace_format, column, chooser)
    except OSError as error:
        raise InputError(error.strerror or str(error), file=path, fix="check the path of the trace") from None
    except (UnicodeDecodeError, zlib.error, EOFError):
        raise InputError("is not text, nor gzip of text", file=path, fix="give a CSV or JSON lines file") from None
    return _ordered(rows, path, chooser)


def binned_share(times: Integers) -> float:
    """Share of gaps that are zero: a trace whose stamps were binned has many."""
    return float(np.mean(np.diff(times) == 0))


def _read(path: Path, trace_format: str, column: str | None, chooser: Chooser) -> Rows:
    with path.open("rb") as raw:
        magic = raw.read(4)
    if trace_format == "parquet" or (trace_format == "auto" and magic == b"PAR1"):
        return read_parquet(path, column, chooser)
    opener: Any = gzip.open if magic[:2] == b"\x1f\x8b" else open
    with cast("IO[str]", opener(path, "rt", encoding="utf-8-sig")) as lines:
        return _read_text(iter(lines), path, trace_format, column, chooser)


def _read_text(lines: Iterator[str], path: Path, trace_format: str, column: str | None, chooser: Chooser) -> Rows:
    first = next(lines, "")
    if trace_format == "auto":
        trace_format = _tell(first, path, column)
    every = itertools.chain([first], lines)
    if trace_format in ("mooncake", "jsonl"):
        return read_json_lines(every, path, trace_format, column, chooser)
    if trace_format in COLUMNLESS and chooser.asks:
        asked = "only" if chooser.only else "session"
        raise InputError(f"{trace_format} has no columns to choose by", file=path, path=asked, fix="leave it out")
    if trace_format == "load-test":
        return read_requests(path)
    if trace_format == "access-log":
        return read_access_log(every, path)
    if trace_format == "counts":
        return read_counts(first, lines, path)
    return read_table(first, lines, path, trace_format, column, chooser)


def _tell(first: str, path: Path, column: str | None) -> str:
    """The format, by the first line. Raises InputError."""
    if first.lstrip()[:1] in ("{", "["):
        return tell_json(first, path, column)
    if column is not None:
        return "csv"
    return "access-log" if looks_like_a_log(first) else tell_table(header_of(first))


def _ordered(rows: Rows, path: Path, chooser: Chooser) -> Recorded:
    if len(rows.stamps) < 2:
        raise InputError(f"holds {len(rows.stamps)} requests", file=path, fix="a trace needs at least two")
    times = np.array(rows.stamps, dtype=np.int64)
    order = np.argsort(times, kind="stable")
    first = int(times[order[0]])
    times = times[order] - first
    kept, whose = chooser.kept(), chooser.whose()
    if kept is not None:
        order, times = order[kept[order]], times[kept[order]]
    if times[-1] == 0 and not rows.interval:
        raise InputError("all requests have the same stamp", file=path, fix="a trace needs time to pass")
    sizes = {name: np.array(column, dtype=np.int64)[order] for name, column in rows.sizes.items()}
    # Hashes that only some lines tell cannot be used, like sizes.
    hashes = _hashes(rows, order) if len(rows.hashed) == len(rows.stamps) else None
    sessions = None if whose is None else whose[order]
    return Recorded(times, sizes, rows.interval, hashes, sessions, first if first >= _DATED else None)


def _hashes(rows: Rows, order: Integers) -> Chains:
    """The hashes of prompts in the order of their stamps."""
    lengths = np.array(rows.hashed, dtype=np.int64)
    chains = Chains(np.frombuffer(rows.hashes, dtype=np.int64), np.concatenate([[0], np.cumsum(lengths)]))
    return chains.rows(order, lengths[order])
