"""One step of an LLM engine, as somebody timed it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step of an engine, and how long it took."""

    prefill: int
    """Prompt tokens in it."""
    decode: int
    """Sequences that it gave a token each."""
    context: int
    """Tokens before each of these."""
    pairs: int
    """Of prompt tokens with those before them."""
    time_ns: int
    cell: bool = True
    """Whether its place on the axes is its own: what it is besides has no axis."""
    prompts: int = 1
    """That the prompt tokens belong to, where there are any."""
