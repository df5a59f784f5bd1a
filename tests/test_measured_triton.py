"""Triton under closed loops, as NVIDIA published it: the simulator must find latencies from offline service times.

C clients each send their next request when the last returns. What is published of a run is a mean for each part of the
way and quantiles end to end. Service times are those of the offline runs (one batch after another), straight lines
between their batch sizes. The rule is that of the release: a free instance takes what waits (until 21.07), or a batcher
stages payloads that keep their size (21.08 to 21.12).

Assumed, not published: the whole network time lies before the queue, uniform from 0 to twice its mean. Fitted, each to
rows that are named: what two instances on one GPU do together, and the copying of bodies that come over HTTP.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from cases import case, pool
from scipy.special import ndtri

from simulator.arrivals import Closed
from simulator.batching import Batching, Greedy, Triton
from simulator.dispatch import RoundRobin
from simulator.quantities import SECOND
from simulator.run.engine import simulate
from simulator.run.recording import CAUSES
from simulator.service import Table
from simulator.sharing import Shared
from simulator.streams import Floats

MS = 10**6
ONLINE, OFFLINE = "measured/triton_online_concurrency.csv", "calibration/triton_offline_batch_latency.csv"
SOUND = 0.97
"""Little's law must hold of a row's own figures up to this factor: throughput x mean latency = clients."""
FIGURES = ("mean", "p50", "p90", "p95", "p99", "server mean", "queue share")
"""What is compared: milliseconds, and the share of the time in the server that is spent in its queue."""
QUANTILES = (0.5, 0.9, 0.95, 0.99)
COMPUTE = ("server_compute_input_ms", "server_compute_infer_ms", "server_compute_output_ms")
NETWORK = ("client_send_ms", "network_server_sendrecv_ms", "client_recv_ms")

ROUNDS = 60
"""Requests of each client. Over seeds, the standard deviation of means is then at most 0.4 %, of medians 0.8 %, of p99
2.6 %."""

Row = dict[str, str]


@dataclass(frozen=True)
class System:
    """A published system, and what is known of it beside the files."""

    model: str
    """The end of its name."""
    gpu: str
    precision: str
    batching: Batching
    instances: int = 1
    together: float = 1.0
    """Work that two instances do at once, against one alone: fitted."""
    fitted: tuple[int, ...] = ()
    """Clients of the rows that it was fitted to."""
    cv: float = 0.0
    """Jitter of a batch."""
    copying: float = 0.0
    """Milliseconds for each request of a batch: fitted to the same rows."""
    offline: tuple[str, ...] = ("avg_ms",)
    """Columns of the offline file whose sum is the work."""
    less: float = 0.0
    """Milliseconds of them that are network."""
    networked: bool = True
    """Whether requests pass the network before the server, or the work holds it."""
    fewest: int = 3_000
    """Requests simulated for each row, at least."""

    @property
    def name(self) -> str:
        return f"{self.model} on {self.gpu}, {self.precision}"

    def rows(self, path: Path) -> list[Row]:
        """The rows of a file that are about this system."""
        with path.open() as file:
            return [row for row in csv.DictReader(file) if self._owns(row)]

    def _owns(self, row: Row) -> bool:
        return row["model"].endswith(self.model) and self.gpu in row["gpu"] and row["precision"] == self.precision

    def online(self, data: Path) -> list[Row]:
        """Its sound rows."""
        return [row for row in self.rows(data / ONLINE) if float(row["little_ratio"]) >= SOUND]

    def law(self, data: Path) -> Table:
        """The work by batch size, with a lognormal jitter."""
        rows = self.rows(data / OFFLINE)
        known = [float(row["client_batch"]) for row in rows]
        times = [total(row, self.offline) - self.less for row in rows]
        sizes = np.arange(1, self.batching.largest() + 1)
        work = (np.interp(sizes, known, times) + self.copying * sizes) * MS
        levels = np.linspace(0, 1, 41)
        jitter = np.exp(self.cv * ndtri(np.clip(levels, 0.005, 0.995)))
        jitter /= ((jitter[1:] + jitter[:-1]) / 2).mean()
        return Table(name=self.model, level="published", levels=levels, work_ns=np.outer(work, jitter))


NNUNET = System("nnUNet", "T4", "FP32", Greedy(max_batch=4), cv=0.002, networked=False, fewest=600)
GPUNET = System(
    "GPUNet/065ms",
    "V100",
    "FP16",
    Triton.model_validate({"max_batch": 64, "staged_grows": False, "batcher_wake": "0.05ms"}),
    instances=2,
    together=0.946,
    copying=0.0355,
    fitted=(8, 256),
    cv=0.05,
    offline=COMPUTE,
)
"""Offline the images lay in shared memory; online they came over HTTP."""
FASTPITCH = System(
    "FastPitch", "V100", "FP16", Greedy(max_batch=8), 2, together=1.385, fitted=(2, 16), cv=0.03, less=0.344
)
RESNET = System("resnet50", "V100", "FP16", Greedy(max_batch=128), 2, together=2.045, fitted=(16, 256), cv=0.02)
SYSTEMS = (
    NNUNET,
    replace(NNUNET, gpu="V100"),
    GPUNET,
    FASTPITCH,
    replace(FASTPITCH, precision="FP32", together=1.061, less=0.350),
    RESNET,
)

DOUBTFUL = {88: "its median is a fifth above that of 96 clients, its mean and p90 are the same"}
"""Rows of GPUNet whose figures contradict each other: the reason."""
PHASES = {"T4": (5, 6), "V100": (4, 5)}
"""Numbers of clients of nnUNet that can fall into one of several rhythms, such as batches of 1 and 3 by turns or always
of 2. All have nearly the same mean latency, but not the same queue, and as service times hardly vary they last."""


def total(row: Row, columns: tuple[str, ...]) -> float:
    return sum(float(row[column]) for column in columns)


def clients(row: Row) -> int:
    return int(float(row["concurrency"]))


def figures(row: Row) -> Floats:
    """FIGURES of a published row."""
    queue = float(row["server_queue_ms"])
    server = queue + total(row, COMPUTE)
    ends = [float(row[f"{name}_ms"]) for name in ("avg", "p50", "p90", "p95", "p99")]
    return np.array([*ends, server, queue / server])


def simulated(system: System, row: Row, law: Table) -> Floats:
    """FIGURES of the same clients in the simulator, after a sixth of the time."""
    seconds = max(system.fewest, ROUNDS * clients(row)) / float(row["throughput_inf_s"])
    sharing = Shared(efficiency=(1.0, system.together))
    served = pool(law, balancer=RoundRobin(), batching=system.batching, instances=system.instances, sharing=sharing)
    loop = case(Closed(users=clients(row)), served, seconds=1.2 * seconds, warmup=0.2 * seconds)
    if system.networked:
        network = round(total(row, NETWORK) * MS)
        loop = replace(loop, stages=(replace(loop.stages[0], network=network, network_spread="uniform"),))
    run = simulate(loop, 0)
    counted = run.arrived >= 0.2 * seconds * SECOND
    spent = dict(zip(CAUSES, run.causes()[:, counted].mean(axis=1) / MS, strict=True))
    latency = run.latency[counted] / MS
    server = latency.mean() - spent["network"]
    return np.array([latency.mean(), *np.quantile(latency, QUANTILES), server, (server - spent["compute"]) / server])


def compared(system: System, data: Path, chosen: tuple[int, ...] = ()) -> Iterator[tuple[int, Floats, Floats]]:
    """(clients, published, simulated) by FIGURES, of every sound row or of those chosen."""
    law = system.law(data)
    for row in system.online(data):
        if not chosen or clients(row) in chosen:
            yield clients(row), figures(row), simulated(system, row, law)


def comparisons(data: Path) -> Iterator[tuple[str, Floats, Floats]]:
    """(name, published, simulated) by FIGURES of every sound row, for a table; `data` is the folder of public data."""
    for system in SYSTEMS:
        for users, published, found in compared(system, data):
            mark = ", fitted" if users in system.fitted else ""
            if system is GPUNET and users in DOUBTFUL:
                mark = f" ({DOUBTFUL[users]})"
            yield f"{system.name}, {users} clients{mark}", published, found


def errors(published: Floats, found: Floats) -> dict[str, float]:
    """Relative, by FIGURES; of the queue share the difference."""
    relative = dict(zip(FIGURES, (found / np.where(published, published, 1) - 1).tolist(), strict=True))
    return relative | {"queue share": float(found[-1] - published[-1])}


def beyond(system: System, data: Path, allowed: dict[str, float], but: Collection[int] = ()) -> dict[str, str]:
    """What is further off than allowed, row by row."""
    return {
        f"{users} clients, {figure}": f"{error:+.1%}"
        for users, published, found in compared(system, data)
        for figure, error in errors(published, found).items()
        if figure in allowed and users not in but and abs(error) > allowed[figure]
    }


@pytest.mark.parametrize("system", SYSTEMS[:2], ids=lambda one: one.gpu)
def test_one_instance(shared_data: Path, system: System) -> None:
    """nnUNet: nothing is fitted."""
    assert len(system.online(shared_data)) >= 6
    assert not beyond(system, shared_data, {"mean": 0.02, "p50": 0.02, "p95": 0.02, "server mean": 0.02})
    assert not beyond(system, shared_data, {"queue share": 0.02}, but=PHASES[system.gpu])


def test_two_instances_on_one_gpu(shared_data: Path) -> None:
    """GPUNet: two constants, fitted to two of the rows.

    The share of the queue is up to 0.15 too high, that of the compute too low; with the rule of another release it is
    0.25 to 0.45 too low.
    """
    assert len(GPUNET.online(shared_data)) == 26
    allowed = {"server mean": 0.1, "p50": 0.1, "p99": 0.2, "queue share": 0.2}
    assert not beyond(GPUNET, shared_data, allowed, but=DOUBTFUL)


@pytest.mark.parametrize(
    "batching",
    [Greedy(max_batch=64), Triton.model_validate({"max_batch": 64, "batcher_wake": "0.05ms"})],
    ids=["until 21.07", "from 22.01"],
)
def test_the_rule_of_another_release_would_be_noticed(shared_data: Path, batching: Batching) -> None:
    """Both take larger batches from a shorter queue, whatever two instances do together; at 0.676 the ends fit best."""
    other = replace(GPUNET, batching=batching, together=0.676, copying=0.0)
    for _, published, found in compared(other, shared_data, (8, 64, 128)):
        assert errors(published, found)["queue share"] < -0.25
