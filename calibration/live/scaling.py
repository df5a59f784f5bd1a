"""A real autoscaling loop on this machine, Ray Serve itself, and the same simulated.

Replicas sleep instead of working, so that a small machine can have many of them; their starts, the way of requests
and every decision are Ray's own. What the simulator is told beside the settings and the arrivals is how long replicas
took to start, and what an answer takes beyond the sleep while there is hardly anything to do.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from calibration.live.client import Endpoint, drive
from calibration.live.course import OK
from calibration.live.servers import ray_serve
from calibration.live.servers.starting import await_answer, free_port
from simulator.arrivals import Replay
from simulator.autoscaling import Ray
from simulator.batching import NoBatching
from simulator.case import Case
from simulator.dispatch import CentralQueue
from simulator.errors import MeasurementError
from simulator.parts import CasePool, CaseStage, CaseWorkload
from simulator.quantities import SECOND
from simulator.run.engine import simulate
from simulator.run.recording import COMPLETED
from simulator.scenario import InstanceType
from simulator.service import Deterministic
from simulator.streams import Floats, Integers

FINE = 0.001
"""Seconds in which a rate does not change."""
GRID = 0.1
"""Seconds at which courses are compared."""
PHASES = 5
"""The handle notes and reports at moments that nobody knows: so many of them are simulated."""
ENDING = 30.0
"""Seconds that Ray may take to stop."""
SPARE = 3
"""Processes that Ray starts beforehand beside those of the replicas, so that starts do not load the machine."""
QUIET = 15 * SECOND
"""At the beginning of the load there is hardly anything to do for so long."""
_MACHINE = InstanceType.model_validate({"price": "$1/h", "cores": 1, "memory": "1GiB"})

Steps = list[tuple[float, int]]
"""(seconds, replicas) from when on there are so many; ascending."""


@dataclass(frozen=True)
class Settings:
    """What is deployed."""

    sleep: float = 0.5
    """Seconds that a replica takes for a request."""
    start: float = 3.0
    """Seconds that its constructor takes."""
    max_ongoing: int = 4
    """Requests that a replica has at a time."""
    autoscaling: tuple[tuple[str, float], ...] = (
        ("min_replicas", 1),
        ("max_replicas", 4),
        ("target_ongoing_requests", 2),
        ("upscale_delay_s", 3),
        ("downscale_delay_s", 12),
        ("look_back_period_s", 10),
        ("metrics_interval_s", 2),
    )
    """Of Ray's autoscaling_config."""

    def policy(self) -> Ray:
        """The simulated autoscaler."""
        told = dict(self.autoscaling)
        return Ray.model_validate(
            {
                "min_replicas": int(told["min_replicas"]),
                "max_replicas": int(told["max_replicas"]),
                "target_ongoing_requests": float(told["target_ongoing_requests"]),
                "upscale_delay": f"{told['upscale_delay_s']}s",
                "downscale_delay": f"{told['downscale_delay_s']}s",
                "look_back": f"{told['look_back_period_s']}s",
                "metrics_interval": f"{told['metrics_interval_s']}s",
            }
        )


@dataclass(frozen=True)
class Course:
    """What replicas and requests did, in seconds from the first arrival."""

    wanted: Steps
    """Replicas that were starting or running."""
    running: Steps
    latency: Floats


@dataclass(frozen=True)
class Measured:
    """A load on the real thing."""

    course: Course
    arrived: Integers
    start: float
    """Seconds that replicas took, on average, but for the first, which started on an idle machine."""
    overhead: float
    """Seconds of an answer beyond the sleep while there was hardly anything to do."""


def even(course: Sequence[tuple[float, float]]) -> Integers:
    """Arrivals as even as can be, at a rate that moves from one (second, requests per second) to the next in a line.

    Without noise the replicas that are wanted follow from the settings alone, not from chance.
    """
    times, levels = np.array(course).T
    fine = np.arange(0, times[-1], FINE)
    total = np.cumsum(np.interp(fine, times, levels)) * FINE
    wanted = np.arange(0.5, total[-1])
    found: Integers = (np.interp(wanted, total, fine) * SECOND).astype(np.int64)
    return found


def measure(settings: Settings, schedule: Integers, python: Path) -> Measured:
    """Sends a load to Ray Serve, started by that Python. Raises MeasurementError."""
    with _deployed(settings, python) as (endpoint, folder):
        log = drive(endpoint, schedule)
        said = "".join(path.read_text() for path in folder.glob("session_latest/logs/serve/controller_*.log"))
    answered = log["status"] == OK
    if (lost := int(np.sum(~answered))) > len(schedule) / 100:
        raise MeasurementError(f"{lost} of {len(schedule)} requests were not answered")
    latency = (log["done"] - log["scheduled"]) / SECOND
    wanted, running = courses(said, (log.origin + time.time_ns() - time.monotonic_ns()) / SECOND)
    if len(starts(said)) < 2:
        raise MeasurementError("no replica was added: the load is too small for these settings")
    if running[0][0] > 0:
        raise MeasurementError("the first replica was not ready when the load began")
    quiet = np.median(latency[(log["scheduled"] < QUIET) & answered])
    course = Course(_since(wanted), _since(running), np.where(answered, latency, np.nan))
    return Measured(course, schedule, float(np.mean(starts(said)[1:])), float(quiet) - settings.sleep)


_LINE = re.compile(
    r"^\w+ (?P<date>[\d-]+ [\d:]+),(?P<ms>\d+) controller \d+ -- (?:"
    r"Deploying new version .*initial target replicas: (?P<first>\d+)"
    r"|(?:Up|Down)scaling .* from \d+ to (?P<target>\d+) replicas"
    r"|Replica.* (?P<started>started successfully)"
    r"|(?P<stopping>Stopping) Replica.*currently ReplicaState.RUNNING"
    r"|(?P<end>Controller shutdown started))",
    re.MULTILINE,
)
"""What the controller of Ray Serve says when replicas change."""


def courses(said: str, origin: float) -> tuple[Steps, Steps]:
    """Replicas wanted and running as the controller's log has them, in seconds from an origin since 1970.

    Raises MeasurementError where it tells of none.
    """
    wanted, running, ready = list[tuple[float, int]](), list[tuple[float, int]](), 0
    for line in _LINE.finditer(said):
        if line["end"]:
            break
        at = time.mktime(time.strptime(line["date"], "%Y-%m-%d %H:%M:%S")) + int(line["ms"]) / 1000 - origin
        if (count := line["first"] or line["target"]) is not None:
            wanted.append((at, int(count)))
        else:
            ready += 1 if line["started"] else -1
            running.append((at, ready))
    if not wanted or not running:
        raise MeasurementError("the log of Ray Serve's controller tells of no replicas; is it Ray 2.60?")
    return wanted, running


def starts(said: str) -> list[float]:
    """Seconds that replicas took to start, as the controller's log has them."""
    return [float(took) for took in re.findall(r"Replica.* started successfully .* after ([\d.]+)s", said)]


def _since(steps: Steps) -> Steps:
    """From the origin on."""
    return [(0.0, [count for at, count in steps if at <= 0][-1]), *(one for one in steps if one[0] > 0)]


@contextlib.contextmanager
def _deployed(settings: Settings, python: Path) -> Iterator[tuple[Endpoint, Path]]:
    """Ray Serve with one replica that is ready; where it keeps its files."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:  # a short name: sockets
        asked: dict[str, Any] = {"port": free_port(), "folder": folder, "sleep": settings.sleep}
        asked |= {"start": settings.start, "max_ongoing": settings.max_ongoing}
        asked["autoscaling"] = dict(settings.autoscaling)
        asked["workers"] = int(asked["autoscaling"]["max_replicas"]) + SPARE
        endpoint, said = Endpoint(asked["port"], "/", "{}"), Path(folder, "said")
        with said.open("wb") as out:
            words = [str(python), ray_serve.__file__, json.dumps(asked)]
            process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, cwd=folder)
        try:
            await_answer(process, endpoint, said, "Ray Serve")
            yield endpoint, Path(folder)
        finally:
            assert process.stdin is not None, "it has a pipe"
            process.stdin.close()
            try:
                process.wait(ENDING)
            except subprocess.TimeoutExpired:
                process.kill()


def predict(settings: Settings, found: Measured) -> list[Course]:
    """The same arrivals simulated, with the handle's moments in several phases."""
    interval = round(dict(settings.autoscaling)["metrics_interval_s"] * SECOND)
    return [_simulate(settings, found, interval * phase // PHASES) for phase in range(PHASES)]


def _simulate(settings: Settings, found: Measured, phase: int) -> Course:
    """With a load that begins so much after a report."""
    arrived = found.arrived - found.arrived[0] + phase
    pool = CasePool(
        name="replicas",
        instance="host",
        machine=_MACHINE,
        replicas=1,
        balancer=CentralQueue(),
        batching=NoBatching(),
        autoscaler=settings.policy(),
        cold_start=round(found.start * SECOND),
        instances=settings.max_ongoing,
    )
    service = Deterministic.model_validate({"setup": "0s", "per_request": f"{settings.sleep}s"})
    way = max(0, round(found.overhead * SECOND))
    case = Case(
        title="Ray Serve",
        workloads=(CaseWorkload("load", Replay(times=np.concatenate([[0], arrived])), (0,), None),),
        stages=(CaseStage("serve", 0, service, network=way),),
        pools=(pool,),
        slos=(),
        duration=int(arrived[-1]) + 1,
        warmup=0,
        replications=1,
        seed=0,
        records=True,
    )
    run = simulate(case, 0)
    shift = int(arrived[0]) - int(found.arrived[0])
    latency = np.where(run.outcome == COMPLETED, run.latency / SECOND, np.nan)[1:]
    wanted = [(one.time, one.desired) for one in run.pools[0].scaling if one.desired != one.before]
    running = [(0.0, 1)]
    for at, more in sorted(run.pools[0].changes().items()):
        if at > 0:
            running.append(((at - shift) / SECOND, running[-1][1] + more))
    return Course([(0.0, 1), *(((at - shift) / SECOND, count) for at, count in wanted)], running, latency)


def apart(one: Steps, other: Steps, until: float) -> float:
    """Seconds by which two courses differ.

    Within so many, before or after, each lies between the least and the most that the other has.
    """
    first, second = (_sampled(steps, until) for steps in (one, other))
    for reach in range(len(first)):
        if all(_covers(*pair, reach) for pair in ((first, second), (second, first))):
            return reach * GRID
    return until


def _sampled(steps: Steps, until: float) -> Integers:
    times, counts = zip(*steps, strict=True)
    found: Integers = np.array(counts)[np.searchsorted(times, np.arange(0, until, GRID), side="right") - 1]
    return found


def _covers(inner: Integers, outer: Integers, reach: int) -> bool:
    width = 2 * reach + 1
    low, high = ndimage.minimum_filter1d(outer, width), ndimage.maximum_filter1d(outer, width)
    return bool(np.all((low <= inner) & (inner <= high)))


def p99(course: Course) -> float:
    """Of all that were answered, in seconds."""
    return float(np.nanquantile(course.latency, 0.99))
