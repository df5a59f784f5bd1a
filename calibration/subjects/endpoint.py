"""`http://...`: a service that answers; a batch of n is one request with n items in its body.

The body is a text file. What stands in it between `<<` and `>>` is one item, written n times with commas between;
`{batch}` becomes n. So `{"instances": [<<[0.1, 0.2]>>]}` asks for a batch of 2 as
`{"instances": [[0.1, 0.2], [0.1, 0.2]]}`.
"""

from __future__ import annotations

import http.client
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from calibration.environment import Environment, environment
from calibration.files import read_whole
from calibration.subjects.base import At, Setting, Subject, Target, Work, refuse
from simulator.errors import InputError, MeasurementError

_ITEM = re.compile(r"<<(.*?)>>", re.DOTALL)
_PATIENCE_S = 120


class Endpoint(Target):
    """A service over HTTP, asked by one connection that stays open."""

    boundary = "a request from its first byte sent to the last byte of the answer; cpu_ns is the asking thread's"

    def __init__(self, name: str, setting: Setting) -> None:
        super().__init__(setting)
        refuse(setting, "a service over HTTP", "body")
        parts = urlsplit(name)
        if not parts.hostname:
            raise InputError(f"{name!r} names no host", fix="write it such as http://localhost:8000/predict")
        secure = parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=_PATIENCE_S)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._template = None if setting.body is None else _text(Path(setting.body))
        self.facts = Subject(
            name=parts.path.strip("/").replace("/", ".") or "service",
            origin="http",
            description=f"{'POST' if self._template else 'GET'} {parts.path or '/'}",
            inputs="n items in the body of one request" if self._template else "a request without a body",
            dtype="unknown",
            mode="a service over HTTP",
        )

    def work(self, at: At) -> Work:
        """One request."""
        batch = at["batch"]
        body = self._body(batch)
        method = "GET" if body is None else "POST"
        headers = {} if body is None else {"Content-Type": "application/json"}

        def ask(_: None) -> bytes:
            try:
                self._connection.request(method, self._path, body, headers)
                answer = self._connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                raise MeasurementError(f"no answer ({type(error).__name__}: {error})") from error
            if answer.status >= 300:
                raise MeasurementError(f"the answer was {answer.status} {answer.reason}")
            return content

        return Work(None, ask)

    def _body(self, batch: int) -> bytes | None:
        if self._template is None or (batch != 1 and not _ITEM.search(self._template)):
            if batch != 1:
                fix = "put one item between << and >> in the file of --body, or ask --batches 1"
                raise InputError(f"nothing says how to ask for a batch of {batch}", path="--batches", fix=fix)
            return None if self._template is None else self._template.replace("{batch}", "1").encode()
        text = _ITEM.sub(lambda found: ", ".join([found[1]] * batch), self._template)
        return text.replace("{batch}", str(batch)).encode()

    def environment(self, threads: int) -> Environment:
        """The asking host, with every processor: the service is taken to run there."""
        # What the service does with its threads is not told, so it may use them all.
        return environment("cpu", os.cpu_count() or 1)

    def close(self) -> None:
        """Hangs up."""
        self._connection.close()


def _text(path: Path) -> str:
    try:
        return read_whole(path, "body of a request").decode()
    except UnicodeDecodeError:
        raise InputError("is not text", file=path, path="--body", fix="name a text file") from None
