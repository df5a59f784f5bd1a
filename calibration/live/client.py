"""The load client: an open loop in a process of its own. `python -m calibration.live.client` is started by `drive`.

Every request has its time before the run begins, and is sent at it whether or not earlier ones were answered, on a
connection of its own or one that is idle. Latency counts from the intended time, so what the client itself was late
is in it; how late it was is recorded too, for a run whose client could not keep up says nothing of the server.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import re
import resource
import select
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simulator.errors import MeasurementError
from simulator.quantities import SECOND
from simulator.streams import Integers

HEAD_START = SECOND // 5
"""Between the client's being ready and the start of the schedule."""
PATIENCE = 15.0
"""Seconds after the last request until what is still unanswered is given up."""
EARLY = 150_000
"""Nanoseconds before a request is due at which the client wakes up, and then looks at the clock all the time."""
LOST = 0
"""The status of a request that got no answer."""
WARM_CONNECTIONS = 32
STAMPS = re.compile(rb"\[(-?\d+(?:, ?-?\d+){5})\]")
"""In a reply: replica, number of the batch, its size, start, end and processor time."""
COLUMNS = ("scheduled", "sent", "done", "status", "replica", "batch", "size", "start", "end", "cpu")


@dataclass(frozen=True)
class Endpoint:
    """Where requests go, and what each of them says."""

    port: int
    path: str
    body: str
    host: str = "127.0.0.1"

    def request(self, body: str | None = None) -> bytes:
        """As it is sent, perhaps with another body than usual."""
        text = self.body if body is None else body
        head = f"POST {self.path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(text)}\r\n\r\n{text}".encode()


@dataclass(frozen=True)
class Log:
    """What became of every request; times in nanoseconds from the start of the schedule, -1 where there is none."""

    columns: dict[str, Integers]
    connections: int
    """How many were open at the end."""
    origin: int = 0
    """The start of the schedule, on the monotonic clock."""

    def __getitem__(self, name: str) -> Integers:
        """One of COLUMNS, one entry a request."""
        return self.columns[name]

    def lag(self) -> Integers:
        """How much later than intended each request was sent."""
        return self["sent"] - self["scheduled"]


def drive(endpoint: Endpoint, schedule: Integers, bodies: Sequence[str] = ()) -> Log:
    """Sends the requests of a schedule from another process, and waits for it. Raises MeasurementError.

    `bodies` are what each of them says, where they differ.
    """
    with tempfile.TemporaryDirectory() as folder:
        times, log, said = Path(folder, "schedule.npy"), Path(folder, "log.npz"), Path(folder, "bodies.json")
        np.save(times, schedule)
        said.write_text(json.dumps(list(bodies)))
        words = [sys.executable, "-m", __name__, str(times), str(said), str(log), str(endpoint.port), endpoint.path]
        done = subprocess.run(
            [*words, endpoint.body, endpoint.host],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode or not log.exists():
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise MeasurementError(f"the load client failed: {last}")
        with np.load(log) as found:
            return Log({name: found[name] for name in COLUMNS}, int(found["connections"]), int(found["origin"]))


class FineSelector(selectors.EpollSelector):
    """epoll with time-outs finer than its own millisecond, which would make requests late."""

    def select(self, timeout: float | None = None) -> Any:
        """Waits on the epoll itself with `select`, which takes microseconds."""
        if timeout is not None and timeout > 0:
            select.select([self.fileno()], [], [], timeout)
            timeout = 0
        return super().select(timeout)


class Connection(asyncio.Protocol):
    """One keep-alive connection, with at most one request on it."""

    def __init__(self, load: Load) -> None:
        self.load, self.request = load, -1
        self.received = b""
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Ends the request once its whole reply is here."""
        now = time.monotonic_ns()
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end:
            return
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        if length and len(body) < int(length[1]):
            return
        request, self.request, self.received = self.request, -1, b""
        self.load.answered(request, now, int(head[9:12]), body)
        if length and b"connection: close" not in head.lower():
            self.load.idle.append(self)
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """The server closed it: what was on it is lost."""
        if self in self.load.idle:
            self.load.idle.remove(self)
        if self.request >= 0 and not self.load.ended:
            self.load.answered(self.request, time.monotonic_ns(), LOST, b"")


class Load:
    """A schedule being sent."""

    def __init__(
        self, endpoint: Endpoint, schedule: Integers, patience: float = PATIENCE, bodies: Sequence[str] = ()
    ) -> None:
        self.patience, self.endpoint = patience, endpoint
        self.schedule = schedule.tolist()
        count = len(self.schedule)
        self.texts = [endpoint.request(body) for body in bodies] or [endpoint.request()] * count
        self.sent, self.done, self.status = [-1] * count, [-1] * count, [LOST] * count
        self.bodies: list[bytes] = [b""] * count
        self.idle: list[Connection] = []
        self.open: list[Connection] = []
        self.ended = False
        self.next = self.answers = self.origin = 0
        self.loop = asyncio.get_running_loop()
        self.over = self.loop.create_future()
        self.dialling: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """From the first request to the last reply."""
        for _ in range(WARM_CONNECTIONS):
            self.idle.append(await self._open())
        self.origin = time.monotonic_ns() + HEAD_START
        self._wait()
        last = (self.schedule[-1] + HEAD_START) / SECOND
        _, late = await asyncio.wait([self.over], timeout=last + self.patience)
        for future in (*late, *self.dialling):
            future.cancel()
        self.ended = True
        for connection in self.open:
            connection.transport.abort()
        await asyncio.sleep(0)  # until they are closed

    async def _open(self) -> Connection:
        _, connection = await self.loop.create_connection(
            lambda: Connection(self), self.endpoint.host, self.endpoint.port
        )
        self.open.append(connection)
        return connection

    def _wait(self) -> None:
        due = (self.origin + self.schedule[self.next] - EARLY - time.monotonic_ns()) / SECOND
        self.loop.call_later(max(0.0, due), self._send)

    def _send(self) -> None:
        """Sends every request whose time has come."""
        count = len(self.schedule)
        while self.next < count and (due := self.origin + self.schedule[self.next]) - EARLY <= time.monotonic_ns():
            while time.monotonic_ns() < due:
                pass
            request, self.next = self.next, self.next + 1
            if self.idle:
                self._put(self.idle.pop(), request)
            else:
                task = self.loop.create_task(self._dial(request))
                self.dialling.add(task)
                task.add_done_callback(self.dialling.discard)
        if self.next < count:
            self._wait()

    async def _dial(self, request: int) -> None:
        try:
            connection = await self._open()
        except OSError:
            self.sent[request] = time.monotonic_ns()
            self.answered(request, time.monotonic_ns(), LOST, b"")
            return
        self._put(connection, request)

    def _put(self, connection: Connection, request: int) -> None:
        connection.request = request
        self.sent[request] = time.monotonic_ns()
        connection.transport.write(self.texts[request])

    def answered(self, request: int, now: int, status: int, body: bytes) -> None:
        """A reply is here, or will never be."""
        self.done[request], self.status[request], self.bodies[request] = now, status, body
        self.answers += 1
        if self.answers == len(self.schedule) and not self.over.done():
            self.over.set_result(None)

    def columns(self) -> dict[str, Integers]:
        """COLUMNS, from the start of the schedule on."""
        stamps = np.full((len(self.schedule), 6), -1, dtype=np.int64)
        for row, body in zip(stamps, self.bodies, strict=True):
            if found := STAMPS.search(body):
                row[:] = [int(word) for word in found[1].split(b",")]
        known = stamps[:, 3:5] >= 0
        stamps[:, 3:5] -= np.where(known, self.origin, 0)
        sent, done = ([time - self.origin if time >= 0 else -1 for time in times] for times in (self.sent, self.done))
        rows = [self.schedule, sent, done, self.status, *stamps.T]
        return {name: np.asarray(row, dtype=np.int64) for name, row in zip(COLUMNS, rows, strict=True)}


async def _drive(endpoint: Endpoint, schedule: Integers, bodies: Sequence[str], out: Path) -> None:
    load = Load(endpoint, schedule, bodies=bodies)
    await load.run()
    np.savez(out, connections=len(load.open), origin=load.origin, **load.columns())  # type: ignore[arg-type]  # columns by keyword


def main() -> None:
    """Reads what `drive` says, sends the load, writes the log."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("schedule", "bodies", "log"):
        parser.add_argument(name, type=Path)
    parser.add_argument("port", type=int)
    for name in ("path", "body", "host"):
        parser.add_argument(name)
    given = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # under overload every waiting request has a connection
    gc.disable()
    with contextlib.suppress(OSError):  # where the system allows it: the client stands for a machine of its own
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    endpoint = Endpoint(given.port, given.path, given.body, given.host)
    loop = asyncio.SelectorEventLoop(FineSelector())
    bodies = json.loads(given.bodies.read_text())
    loop.run_until_complete(_drive(endpoint, np.load(given.schedule), bodies, given.log))
    loop.close()


if __name__ == "__main__":
    main()
