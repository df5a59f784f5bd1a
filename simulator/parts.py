"""The parts of a case by value: its stages, its workloads and its pools."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from simulator.arrivals import Process
from simulator.autoscaling import Autoscaler
from simulator.batching import Batching, Continuous
from simulator.discipline import Discipline, FirstCome
from simulator.dispatch import Balancer
from simulator.faults import Fault
from simulator.habits import Impatience, Retries
from simulator.limits import Limits
from simulator.model import Spread, spread_out
from simulator.scenario import InstanceType, Placement
from simulator.service import Law
from simulator.sharing import Separate, Sharing
from simulator.sizes import SizeLaw
from simulator.slow_start import SlowStart
from simulator.speed import Constant, SpeedLaw
from simulator.streams import Floats, Integers


@dataclass(frozen=True)
class CaseStage:
    """One step of a model, on one pool; times in nanoseconds."""

    name: str
    pool: int
    """Position in `Case.pools`."""
    service: Law
    after: tuple[int, ...] = ()
    """Positions in `Case.stages` of the stages that must have ended; none where it begins with the request."""
    network: int = 0
    """On the way here, from the client or the stage before; on average."""
    transfer: int = 0
    """For the payload to pass the network."""
    overhead: int = 0
    """Of handling each request before it joins a queue."""
    model: str = ""
    network_spread: Spread = "constant"
    """How the time on the network varies: `uniform` from 0 to twice the mean."""

    @property
    def label(self) -> str:
        """The stage of the model, such as `ocr/detect`."""
        return f"{self.model}/{self.name}"

    @property
    def way(self) -> int:
        """From the end of the stage before until a request joins a queue here; on average."""
        return self.network + self.transfer + self.overhead

    def varies(self) -> bool:
        """Whether requests spend different times on the network."""
        return self.network_spread != "constant" and self.network > 0

    def networks(self, uniform: Floats) -> Integers:
        """Nanoseconds on the network by uniform number."""
        return spread_out(self.network, self.network_spread, uniform)


@dataclass(frozen=True)
class CaseWorkload:
    """A stream of requests and the stages they pass."""

    name: str
    arrivals: Process
    stages: tuple[int, ...]
    """Consecutive positions in `Case.stages`; each comes later than those it waits for."""
    timeout: int | None
    cancels: bool = True
    """Whether a pool learns that the client has given up."""
    retries: Retries | None = None
    impatience: Impatience | None = None
    reply: int = 0
    """Nanoseconds that the answer takes back to the client."""
    priority: int = 0
    """1 is the most urgent; 0 is none."""
    deadline: int | None = None
    """Nanoseconds from the sending of an attempt until its answer is due; None: the time-out."""
    weight: int = 1
    """Its share of what a pool serves, where the discipline shares."""
    items: SizeLaw | None = None
    """How many each request brings; None: one."""
    sizes: tuple[tuple[str, SizeLaw], ...] = ()
    """What stages and batches may read of each item, by name."""

    def size(self, name: str) -> SizeLaw:
        """The law of one of its sizes."""
        return dict(self.sizes)[name]

    def scaled(self, factor: float) -> CaseWorkload:
        """The same at `factor` times the load."""
        arrivals = self.arrivals.scaled(factor)
        return replace(
            self,
            arrivals=arrivals,
            items=None if self.items is None else self.items.beside(arrivals),
            sizes=tuple((name, law.beside(arrivals)) for name, law in self.sizes),
        )

    @property
    def answers_back(self) -> bool:
        """Whether what its clients send depends on the answers."""
        return self.retries is not None or self.arrivals.answered


@dataclass(frozen=True)
class CasePool:
    """Replicas of one kind and the rules by which they serve."""

    name: str
    instance: str
    machine: InstanceType
    replicas: int
    balancer: Balancer
    batching: Batching
    autoscaler: Autoscaler
    cold_start: int
    limits: Limits | None = None
    instances: int = 1
    """Batches that one replica can run at the same time."""
    speed: SpeedLaw = field(default_factory=Constant)
    sharing: Sharing = field(default_factory=Separate)
    per_machine: int = 1
    """Replicas that share a machine."""
    placement: Placement = "pack"
    quota: int | None = None
    """The most machines at a time; None where there is no end of them."""
    zones: tuple[str, ...] = ("a",)
    cold_start_spread: Spread = "constant"
    load_time: int = 0
    """Of a replica, on a machine that has started."""
    grace: int | None = None
    """Nanoseconds that a replica may drain; None: for ever."""
    faults: tuple[Fault, ...] = ()
    slow_start: SlowStart | None = None
    discipline: Discipline = field(default_factory=FirstCome)

    @property
    def common(self) -> bool:
        """Whether all that a replica runs at a time is on one device."""
        return self.sharing.common or isinstance(self.batching, Continuous)

    def most(self) -> int:
        """The most replicas that it can have."""
        high = self.autoscaler.bounds(self.replicas)[1]
        return high if self.quota is None else min(high, self.quota * self.per_machine)
