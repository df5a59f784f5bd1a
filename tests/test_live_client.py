"""The load client against a tiny server, and its schedules."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable

import numpy as np
import pytest

from calibration.live import client
from calibration.live.client import LOST, Endpoint, FineSelector, Load, Log
from calibration.live.comparison import void
from calibration.live.course import Executions, measured
from calibration.live.schedule import BURST, poisson, probing
from simulator.errors import MeasurementError
from simulator.quantities import SECOND
from simulator.streams import Integers

MS = 1_000_000
Answer = Callable[[int], tuple[float, bytes | None]]
"""By number of the request: how many seconds until its reply, and the reply; None closes the connection."""


def reply(*stamps: int, status: str = "200 OK") -> bytes:
    body = json.dumps(stamps).encode()
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def drive(schedule: Integers, answer: Answer, stall: float = 0.0, patience: float = 15.0) -> Log:
    """Sends a schedule to a server in the same loop, which may stand still for `stall` seconds in the middle."""
    count = iter(range(10**6))

    handlers: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            while await reader.readline():
                while (await reader.readline()).strip():
                    pass
                await reader.readexactly(len("{}"))
                seconds, said = answer(next(count))
                await asyncio.sleep(seconds)
                if said is None:
                    return
                writer.write(said)

    async def both() -> Log:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        load = Load(Endpoint(server.sockets[0].getsockname()[1], "/", "{}"), schedule, patience)
        if stall:
            middle = (client.HEAD_START + int(schedule[len(schedule) // 2])) / SECOND
            asyncio.get_running_loop().call_later(middle, time.sleep, stall)
        await load.run()
        server.close()
        for handler in handlers:
            assert handler is not None
            handler.cancel()
        await asyncio.gather(*filter(None, handlers), return_exceptions=True)
        await asyncio.sleep(0.01)  # until their connections are closed
        return Log(load.columns(), len(load.open))

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(FineSelector())) as runner:
        return runner.run(both())


def test_latency_counts_from_the_intended_time_and_stamps_are_read() -> None:
    schedule = np.arange(20) * 5 * MS

    def answer(number: int) -> tuple[float, bytes]:
        now = time.monotonic_ns()
        return 0.02, reply(0, number, 1, now, now + 10, 5)

    found = drive(schedule, answer)
    assert (found["status"] == 200).all()
    assert (found["scheduled"] == schedule).all()
    assert (found.lag() >= 0).all()
    assert (found["done"] - found["scheduled"] >= 20 * MS).all()
    assert sorted(found["batch"]) == list(range(20))
    assert (found["start"] > found["sent"]).all()
    assert (found["start"] < found["done"]).all()
    executions = Executions.of(found)
    assert (executions.size == 1).all()
    assert (executions.end - executions.start == 10).all()
    assert (executions.cpu == 5).all()


def test_it_never_waits_for_replies() -> None:
    """All are sent although the server answers none of them in time."""
    found = drive(np.arange(60) * MS, lambda _: (60.0, b""), patience=0.1)
    assert (found["sent"] >= found["scheduled"]).all()
    assert (found["status"] == LOST).all()
    assert (found["done"] == -1).all()
    assert found.connections == 60, "each has a connection of its own"


def test_idle_connections_are_used_again() -> None:
    found = drive(np.arange(30) * 3 * MS, lambda k: (0.0, reply(0, k, 1, 1, 2, 0)))
    assert found.connections == client.WARM_CONNECTIONS


def test_refusals_and_closed_connections_are_told_apart() -> None:
    answers = {0: reply(), 1: reply(status="429 Too Many Requests"), 2: None}
    found = drive(np.arange(3) * 20 * MS, lambda k: (0.0, answers[k]))
    assert found["status"].tolist() == [200, 429, LOST]
    assert (found["batch"] == -1).all(), "no stamps in these replies"


def test_a_client_that_stood_still_says_so_and_its_run_is_void() -> None:
    found = drive(np.arange(100) * 2 * MS, lambda k: (0.01, reply(0, k, 1, 1, 2, 0)), stall=0.06)
    assert found.lag().max() >= 50 * MS
    (reason,) = void(found.lag(), measured(found, 0, 200 * MS), 1.0, 1.0)
    assert reason.startswith("the client was ")


def test_the_client_is_a_process_that_fails_in_one_line() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = Endpoint(unused.getsockname()[1], "/", "{}")
        with pytest.raises(MeasurementError, match=r"^the load client failed: ConnectionRefusedError"):
            client.drive(nobody, np.array([0, MS]))


def test_poisson_schedules() -> None:
    stamps = poisson(1000, 20, seed=3)
    assert abs(len(stamps) - 20_000) < 4 * np.sqrt(20_000)
    assert (np.diff(stamps) >= 0).all()
    assert stamps[-1] < 20 * SECOND
    gaps = np.diff(stamps) / SECOND
    assert abs(gaps.std() / gaps.mean() - 1) < 0.04
    assert (stamps == poisson(1000, 20, seed=3)).all()
    assert len(stamps) != len(poisson(1000, 20, seed=4))


def test_probing_asks_for_every_size_beside_a_full_batch() -> None:
    stamps = probing(largest=3, delay=5 * MS, slowest=30 * MS, rounds=2, replicas=2)
    assert len(stamps) == 2 * 2 * 2 * ((1 + 3) + (2 + 3) + (3 + 3))
    bursts = np.split(stamps, np.flatnonzero(np.diff(stamps) > BURST) + 1)
    sizes = [len(burst) for burst in bursts]
    assert sizes[:12] == [2, 6, 6, 2, 4, 6, 6, 4, 6, 6, 6, 6]
    assert np.diff([burst[0] for burst in bursts[:2]]) < (5 + 30) * MS, "the second comes while the first runs"
