"""What people write of the load: streams of requests."""

from __future__ import annotations

from pydantic import Field, model_validator

from simulator.arrivals import Answered, Arrivals, Sessions
from simulator.component import Record
from simulator.habits import Impatience, Retries
from simulator.model import Name
from simulator.prompts import Prompts
from simulator.quantities import PositiveDuration
from simulator.sizes import Sizes


class Workload(Record):
    """A stream of requests to one model."""

    model: Name
    arrivals: Arrivals
    timeout: PositiveDuration | None = None
    """After so long the client gives up; the request counts as a miss."""
    impatience: Impatience | None = None
    """How long clients wait for their turn; for ever unless stated."""
    cancels: bool = True
    """Whether a pool learns that a client has given up: it then drops the request from its queue."""
    retries: Retries | None = None
    """What clients do when a request is refused or times out; nothing unless stated."""
    priority: int = Field(0, ge=0, le=256)
    """For the discipline `priority` and Triton's priority levels: 1 is the most urgent; 0 is none, after all others."""
    deadline: PositiveDuration | None = None
    """For the discipline `earliest_deadline`: when an answer is due after its sending; the time-out unless given."""
    weight: int = Field(1, ge=1, le=100)
    """For the discipline `weighted_fair`: the share of the work done for it, against the others' weights."""
    items: Sizes | None = None
    """How many each request brings, to be served in one batch, such as a client's batch of images; one unless given."""
    sizes: dict[Name, Sizes] = Field(default_factory=dict, max_length=16)
    """What the service times or the batches depend on, by a name of one's own, such as `tokens`: of each item."""
    prompts: Prompts | None = None
    """For LLMs: what prompts share from their beginning on, and whether turns repeat what was said before."""

    @model_validator(mode="after")
    def _check(self) -> Workload:
        if self.impatience is not None and (self.retries is not None or isinstance(self.arrivals, Answered)):
            raise ValueError("impatience: clients who leave the queue do not come back; use timeout here")
        if self.prompts is not None and self.prompts.history and not isinstance(self.arrivals, Sessions):
            raise ValueError("prompts.history: only turns of sessions have one; set arrivals to sessions, or remove it")
        return self
