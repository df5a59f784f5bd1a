"""The parts of a case by value: its stages, its workloads and its pools."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from simulator.arrivals import Process
from simulator.autoscaling import Autoscaler
from simulator.batching import Batching, LlmEngine
from simulator.condition import Condition
from simulator.discipline import Discipline, FirstCome
from simulator.dispatch import Balancer
from simulator.faults import Fault
from simulator.habits import Impatience, Retries
from simulator.hashed import Hashed
from simulator.limits import Limits
from simulator.model import KvTransfer, Spread, spread_out
from simulator.prompts import Prompts
from simulator.scenario import InstanceType, Placement, Victims
from simulator.service import Law
from simulator.sharing import Separate, Sharing
from simulator.sizes import SizeLaw
from simulator.slow_start import SlowStart
from simulator.speed import Constant, SpeedLaw
from simulator.start import Start
from simulator.streams import Floats, Integers
from simulator.supply import Fallback, Supply
from simulator.talks import Talks


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

    sends: KvTransfer | None = None
    """How keys and values get to the stage that follows: this one computes prompts only."""
    receives: KvTransfer | None = None
    """How they came here: this one answers prompts that were computed before."""
    only: tuple[Condition, ...] = ()
    """Who comes here: those for whom all of these hold. The others pass it by, in no time."""

    def computes(self, prompt: float, output: float) -> tuple[float, float, float]:
        """What its engines do of a request: tokens whose keys and values are sent to them, those of the prompt that
        they compute, and those of the answer.
        """
        if self.sends is not None:
            return 0, prompt, 1
        if self.receives is None:
            return 0, prompt, output
        begun = int(self.receives.begun)
        return prompt - 1 + begun, 1, output - begun

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
    max_concurrency: int | None = None
    """The most requests that its client has under way; None where there is no such bound."""
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
    prompts: Prompts | None = None
    """How the prompts of an LLM begin, where they have anything in common."""
    adapter: str | None = None
    """That of an LLM which its requests ask for."""
    hashed: Hashed | None = None
    """The same as a trace tells it, prompt by prompt."""
    talks: Talks | None = None
    """The sessions of its requests, where a trace tells them."""

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
            hashed=None if self.hashed is None else self.hashed.model_copy(update={"arrivals": arrivals}),
            talks=None if self.talks is None else self.talks.model_copy(update={"arrivals": arrivals}),
        )

    @property
    def answers_back(self) -> bool:
        """Whether what its clients send depends on the answers."""
        return self.retries is not None or self.max_concurrency is not None or self.arrivals.answered

    @property
    def closed(self) -> bool:
        """Whether requests wait for the answers to others, so that no load is too high."""
        return self.max_concurrency is not None or self.arrivals.closed


@dataclass(frozen=True)
class CaseSupply:
    """Machines that the pools which name it share."""

    name: str
    rules: Supply


class Kind(NamedTuple):
    """A type of machine that a pool may have."""

    instance: str
    machine: InstanceType
    speed: float
    """Of its replicas, against those on the pool's own type."""


@dataclass(frozen=True)
class CaseFallback:
    """Where else a pool looks for machines, and the type of those there where it is another one."""

    place: Fallback
    kind: Kind | None = None


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
    start: Start | None = None
    """The steps of a start, in the place of `cold_start` and `load_time`."""
    victims: Victims = "placement"
    supply: CaseSupply | None = None
    fallback: tuple[CaseFallback, ...] = ()
    """Zones and types of machines, by order, where those in `zones` have none of its own."""

    def kinds(self) -> list[Kind]:
        """Its own type of machine, and that of each fallback."""
        own = Kind(self.instance, self.machine, 1.0)
        return [own, *(one.kind or own for one in self.fallback)]

    def mixed(self) -> bool:
        """Whether its replicas may run on machines of other types."""
        return any(one.kind is not None for one in self.fallback)

    def loading(self) -> int:
        """Mean nanoseconds of a replica, on a machine that has started."""
        return self.load_time if self.start is None else round(self.start.loading())

    def starting(self) -> int:
        """Mean nanoseconds from the launch of a machine until its first replica takes requests."""
        return self.loading() + (self.cold_start if self.start is None else round(self.start.cold_start()))

    def shortest_start(self) -> int:
        """Nanoseconds that every machine takes to start at the least."""
        if self.start is None:
            return self.cold_start if self.cold_start_spread == "constant" else 0
        return 0 if self.start.provision is None else self.start.provision.shortest()

    @property
    def common(self) -> bool:
        """Whether all that a replica runs at a time is on one device."""
        return self.sharing.common or isinstance(self.batching, LlmEngine)

    def most(self) -> int:
        """The most replicas that it can have."""
        high = self.autoscaler.bounds(self.replicas)[1]
        quotas = self.quota, None if self.supply is None else self.supply.rules.quota
        return min([high, *(quota * self.per_machine for quota in quotas if quota is not None)])
