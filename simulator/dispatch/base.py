"""What every balancer is: a choice, at work as a picker on a view of its pool.

A balancer sees a view of the pool that is kept incrementally: the slots that are ready and the load of each slot. It
answers (slot, why). Slots are small integers, reused when a replica has gone. A pick and a change cost at most the
logarithm of the number of replicas; only `regrouped` may look at all of them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from simulator.component import Component
from simulator.quantities import Duration

NEXT, DRAWN, SHORTER, TIED, SHORTEST, SHARED, LAST_TIED, IN_TURN = range(8)
FEWEST_WAITING, LEAST_WORK, OWNER, PASSED_ON, PINNED, OPENED, OWN_ZONE, SPILLED = range(8, 16)
RECENT, LAUNCHED, FEWEST_TOKENS, LEAST_SCORE, REMEMBERED, BEST_SCORE = range(16, 22)
REASONS = (
    "the next in turn",
    "drawn at random",
    "the least loaded of those drawn",
    "equally loaded: the first drawn",
    "fewest outstanding",
    "all replicas take from one queue",
    "equally loaded: the last drawn",
    "equally loaded: the next in turn",
    "fewest waiting",
    "least work left",
    "the owner of its key",
    "the owner of its key was full: the next with room",
    "its session or connection is pinned there",
    "a session or connection was opened",
    "fewest outstanding in its zone",
    "its zone was too busy or empty: fewest outstanding of all",
    "the idle replica used last",
    "no replica was idle: it launched one",
    "fewest tokens outstanding",
    "least of 4 x waiting + running",
    "most of its prompt was sent there before",
    "the highest score of queue, KV cache and prompt",
)

Chain = tuple[tuple[Hashable, int], ...]
"""What a prompt consists of, from its beginning on: names of tokens, and the blocks up to the end of each."""

Weights = Annotated[
    tuple[Annotated[int, Field(ge=1, le=256)], ...],
    Field(
        strict=False,
        min_length=1,
        max_length=64,
        description="By slot, repeated as often as needed: `[3, 1]` gives every other replica three times the weight.",
    ),
]


def _nothing(_: int) -> int:
    return 0


def _one_token(_: int) -> tuple[int, int]:
    return 1, 0


def _no_answer() -> int:
    return 0


def _nothing_held(_: int) -> float:
    return 0.0


def _nothing_known(_: int) -> tuple[Chain, int]:
    return (), 0


@dataclass
class View:
    """What a balancer may know of its pool."""

    draws: Sequence[Sequence[float]]
    """`draws[d][k]`: the d-th uniform number of request k."""
    ready: list[int] = field(default_factory=list)
    """Slots that take requests, ascending; never empty when `pick` is called."""
    outstanding: list[int] = field(default_factory=list)
    """Requests waiting or in service, by slot."""
    waiting: Callable[[int], int] = _nothing
    """Requests that no batch has taken yet, of a slot."""
    work: Callable[[int], int] = _nothing
    """How long a request would take if served alone, in nanoseconds: what no balancer outside a simulation knows."""
    now: int = 0
    """The time of the pick."""
    zones: int = 1
    """How many zones there are."""
    since: Callable[[int], int] = _nothing
    """When the replica in a slot became ready; long ago for the first ones."""
    zone: Callable[[int], int] = _nothing
    """Where a slot's machine stands."""
    tokens: Callable[[int], tuple[int, int]] = _one_token
    """Tokens of a request's prompt and of its answer; (1, 0) where the pool serves no LLM."""
    usual_answer: Callable[[], int] = _no_answer
    """Tokens of an answer on average."""
    prompt: Callable[[int], tuple[Chain, int]] = _nothing_known
    """What a request's prompt has in common with others, and its full blocks; nothing where the pool serves no LLM."""
    cache: Callable[[int], float] = _nothing_held
    """Share of a slot's KV cache that requests hold."""
    cache_blocks: int = 0
    """Blocks of it."""
    read: int = 0
    """When the loads were last told, where they are read now and then."""


class Picker:
    """A balancer at work on one pool. The methods that do nothing here are called only where overridden."""

    def __init__(self, view: View) -> None:
        self.view = view

    def pick(self, request: int) -> tuple[int, int]:
        """(slot, reason code) for a request, which is then sent there."""
        raise NotImplementedError

    def changed(self, slot: int) -> None:
        """Called after the outstanding requests of a slot changed."""

    def taken(self, slot: int, requests: list[int], end: int) -> None:
        """Called after a slot took requests into a batch that ends at `end`; on a device that instances share, if no
        other batch begins or ends there until then."""

    def left(self, slot: int, requests: list[int]) -> None:
        """Called after requests left a slot, served or given up."""

    def regrouped(self) -> None:
        """Called after a replica became ready or stopped taking requests, and after all loads were read anew."""


class Balancer(Component):
    """Which replica a request goes to."""

    family: ClassVar[str] = "balancer"
    keyed: ClassVar[bool] = False
    """Whether the first uniform number of a request stands for its key, which all requests of a session share."""
    shared_queue: ClassVar[bool] = False
    """Whether requests wait in one queue of the pool instead of being sent to a replica on arrival."""

    def uniforms(self) -> int:
        """Uniform numbers used per request."""
        return 0

    def scraping(self) -> tuple[int, int] | None:
        """(period, delay) in nanoseconds at which loads are read; None where they are known at once."""
        return None

    @abstractmethod
    def start(self, view: View) -> Picker:
        """The balancer at work on a pool."""


class LoadAware(Balancer):
    """A balancer that reads the loads of the replicas, at once or now and then.

    Balancers that count the requests which they themselves have sent are no such: what they know is never old.
    """

    scrape: Duration = 0
    """How often the loads are read; between two readings they look the same. 0: they are known at once."""
    delay: Duration = 0
    """How old a reading is when it comes to be used."""

    @model_validator(mode="after")
    def _check_scrape(self) -> LoadAware:
        if self.delay and not self.scrape:
            raise ValueError("delay needs scrape: how often the loads are read")
        return self

    def scraping(self) -> tuple[int, int] | None:
        """As the fields say."""
        return (self.scrape, self.delay) if self.scrape else None
