"""What people write of the load: streams of requests."""

from __future__ import annotations

from pydantic import Field, model_validator

from simulator.arrivals import Answered, Arrivals, Closed, Trace
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
    max_concurrency: int | None = Field(None, ge=1, le=1_000_000)
    """The most requests that its client has under way, as benchmarks do: whoever would be one more is sent, and timed,
    once another has been answered or has failed for good. What is not sent when the run's time is over never is."""
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

    adapter: Name | None = None
    """For LLMs: the adapter (LoRA) of the model that its requests ask for, by a name of one's own."""

    @model_validator(mode="after")
    def _check(self) -> Workload:
        if self.impatience is not None and (self._waits_for_answers()):
            raise ValueError("impatience: clients who leave the queue do not come back; use timeout here")
        if self.max_concurrency is not None and isinstance(self.arrivals, Answered):
            raise ValueError("max_concurrency: users and sessions wait for their answers; remove it, or lower users")
        if self.prompts is not None and self.prompts.history:
            if not isinstance(self.arrivals, Answered) and not self._told_sessions():
                wrong = "prompts.history: only turns of sessions have one"
                raise ValueError(f"{wrong}; set arrivals to sessions, agents or closed, or remove it")
            if self._told_sessions() and self.prompts.longest is not None:
                raise ValueError("prompts.longest: prompts are as long as the trace says; remove it")
            if isinstance(self.arrivals, Closed) and self.arrivals.turns is None:
                raise ValueError("prompts.history: what users say would grow for ever; set arrivals.turns, such as 8")
        return self

    def _told_sessions(self) -> bool:
        return isinstance(self.arrivals, Trace) and self.arrivals.session is not None

    def _waits_for_answers(self) -> bool:
        return bool(self.retries or self.max_concurrency) or isinstance(self.arrivals, Answered)
