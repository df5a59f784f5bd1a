"""Files that are either whole or not there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from simulator.errors import InputError


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file so that a reader, or a crash, never meets half of it. Raises InputError."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(
            f"cannot be written ({error.strerror})", file=path, fix="name a file in a folder that exists"
        ) from None


def read_whole(path: Path, what: str) -> bytes:
    """The bytes of a file; `what` says in the error what it should have been. Raises InputError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no such {what}", file=path, fix="check the path") from None
    except OSError as error:
        raise InputError(f"cannot be read as a {what} ({error.strerror})", file=path) from None


def sha256(content: bytes) -> str:
    """The digest as profiles write it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
