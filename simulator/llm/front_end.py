"""The process before an LLM engine that reads requests and sends what comes out: one thing after the other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class FrontEnd:
    """Where it stands; times are nanoseconds.

    A request takes `there` to come in (connection, parsing), then `fixed` and `token` for each of its prompt's tokens
    in the one process that tokenises. A first token takes `chunk` in the one process that sends, and `back` on its way;
    later ones only that.
    """

    there: int = 0
    fixed: int = 0
    token: float = 0.0
    chunk: int = 0
    back: int = 0
    reads_until: int = 0
    sends_until: int = 0

    def read(self, sent: int, prompt: int) -> int:
        """When a request that is sent now is at the engine. Requests are told in the order in which they are sent."""
        self.reads_until = max(self.reads_until, sent + self.there) + self.fixed + round(self.token * prompt)
        return self.reads_until

    def first(self, now: int) -> int:
        """When a first token that is there now is at the client."""
        self.sends_until = max(self.sends_until, now) + self.chunk
        return self.sends_until + self.back

    def last(self, now: int) -> int:
        """The same of the last."""
        return now + self.back
