"""A server's processes: started, asked until they answer, stopped whatever happens."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from calibration.live.client import Endpoint
from calibration.live.course import OK
from calibration.live.device import Device
from calibration.live.servers import haproxy, mosec, triton
from calibration.live.servers.setup import Setup
from simulator.errors import MeasurementError

STARTING = 90.0
"""Seconds that a server may take to answer its first request."""
STOPPING = 10.0


def check(setup: Setup, tritonserver: Path | None = None) -> None:
    """Raises MeasurementError, with what to install, where `serving` could not start it."""
    if setup.server == "mosec":
        mosec.check()
    else:
        triton.find(tritonserver)
    if setup.balancer:
        haproxy.find()


@contextlib.contextmanager
def serving(setup: Setup, device: Device, tritonserver: Path | None = None) -> Iterator[Endpoint]:
    """A server that has answered a request, with HAProxy before it if the setup says so.

    `tritonserver` is the virtual environment, or the folder, that holds NVIDIA Triton. Raises MeasurementError for
    what does not start.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headroom-")))
        ports = [free_port() for _ in range(setup.replicas)]
        for replica, port in enumerate(ports):
            own = folder / str(replica)
            own.mkdir()
            if setup.server == "mosec":
                words, variables = mosec.command(setup, port)
                endpoint = mosec.endpoint(port)
            else:
                words, variables = triton.command(setup, port, own, tritonserver)
                endpoint = triton.endpoint(port)
            environment = {**device.environment(replica), **variables}
            stack.enter_context(running(words, environment, endpoint, own / "log", setup.server))
        if setup.balancer:
            front = free_port()
            endpoint = Endpoint(front, endpoint.path, endpoint.body)
            words = haproxy.command(setup.balancer, front, ports, folder)
            stack.enter_context(running(words, {}, endpoint, folder / "haproxy-log", "haproxy"))
        yield endpoint


def free_port() -> int:
    """One that nobody listens at just now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def running(
    words: Sequence[str], variables: Mapping[str, str], endpoint: Endpoint, log: Path, name: str
) -> Iterator[None]:
    """A process that has answered a request; `log` takes what it says. Raises MeasurementError."""
    with log.open("wb") as said:
        process = subprocess.Popen(
            words,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        await_answer(process, endpoint, log, name)
        yield
    finally:
        _stop(process)


def await_answer(process: subprocess.Popen[bytes], endpoint: Endpoint, log: Path, name: str) -> None:
    """Returns once the server has answered. Raises MeasurementError where it ends or takes too long."""
    until, said = time.monotonic() + STARTING, ""
    while time.monotonic() < until:
        if process.poll() is not None:
            raise MeasurementError(f"{name} ended while it started: {_last_words(log)}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            asked = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=5)
            asked.request("POST", endpoint.path, endpoint.body, {"Content-Type": "application/json"})
            answered = asked.getresponse()
            said = f"{answered.status} {answered.read()[:300]!r}"
            asked.close()
            if answered.status == OK:
                return
        time.sleep(0.1)
    raise MeasurementError(f"{name} did not answer within {STARTING:g} s: {said or _last_words(log)}")


def _last_words(log: Path) -> str:
    """The last line that speaks of an error; else the last one."""
    said = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    telling = [line for line in said if re.search(r"Error\b|failed to load .*: |\[ALERT\]", line)]
    return (telling or said or ["it said nothing"])[-1][:300]


def _stop(process: subprocess.Popen[bytes]) -> None:
    """The server and what it has started; they have a session of their own."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOPPING)
            if sign == signal.SIGKILL:
                return
