"""The replica with the fewest tokens to compute: for LLM engines, whose requests differ a hundredfold."""

from __future__ import annotations

from collections import defaultdict
from typing import Literal

from simulator.dispatch.base import FEWEST_TOKENS, Balancer, Picker, View
from simulator.dispatch.tournament import LeastKey


class LeastTokens(Balancer):
    """The replica with the fewest tokens outstanding, prompts and answers; the lowest slot on a tie.

    A request counts in full from when it is sent until its last token is there. The balancer counts what it has sent
    itself. Where a pool serves no LLM every request counts as one token, as under `least_outstanding`.
    """

    kind: Literal["least_tokens"] = "least_tokens"
    answers: Literal["mean", "known", "none"] = "mean"
    """What an answer counts: the tokens of answers on average, its own (nobody knows them in practice), or none."""

    def start(self, view: View) -> Picker:
        """Keeps a tournament over the slots, so that a pick costs no scan."""
        return _LeastTokens(view, self.answers)


class _LeastTokens(LeastKey):
    reason = FEWEST_TOKENS

    def __init__(self, view: View, answers: str) -> None:
        super().__init__(view)
        self.known = answers == "known"
        self.usual = view.usual_answer() if answers == "mean" else 0
        self.tokens: defaultdict[int, int] = defaultdict(int)
        """By slot."""
        self.sent: dict[int, int] = {}
        """By request that has not left."""
        self.regrouped()

    def key(self, slot: int) -> int:
        return self.tokens[slot]

    def pick(self, request: int) -> tuple[int, int]:
        slot = self.tournament.first()
        prompt, answer = self.view.tokens(request)
        self.sent[request] = tokens = prompt + (answer if self.known else self.usual)
        self.tokens[slot] += tokens
        return slot, self.reason

    def left(self, slot: int, requests: list[int]) -> None:
        self.tokens[slot] -= sum(map(self.sent.pop, requests))
        self.changed(slot)
