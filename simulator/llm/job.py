"""A request as an LLM engine sees it."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from simulator.llm.blocks import Prefix
from simulator.streams import Integers

Piece = tuple[Hashable, int]
"""A run of a prompt's blocks that others may share, and the block at which it ends."""

ONE_BY_ONE: Integers = np.zeros(0, dtype=np.int64)
"""The gains of requests for which nothing is drafted."""


class Job:
    """One request. Tokens are *known* once they are in the prompt or were returned, *issued* from when a step that
    yields them is planned, *computed* from when a step that computes their keys and values is planned.
    """

    __slots__ = (
        "adapter",
        "arrived",
        "base",
        "before",
        "blocks",
        "came",
        "computed",
        "copies",
        "gains",
        "hits",
        "issued",
        "keeps",
        "last",
        "loads",
        "lost",
        "order",
        "output",
        "own",
        "pieces",
        "preempted",
        "priority",
        "prompt",
        "received",
        "request",
        "shared",
        "since",
        "stays",
        "turn",
        "workload",
    )

    def __init__(
        self,
        request: int,
        prompt: int,
        output: int,
        arrived: int = 0,
        priority: int = 0,
        pieces: tuple[Piece, ...] = (),
        own: Hashable = None,
        gains: Integers = ONE_BY_ONE,
        adapter: str | None = None,
    ) -> None:
        self.request, self.prompt, self.output, self.arrived, self.priority = request, prompt, output, arrived, priority
        self.pieces = pieces
        """What its prompt shares with others, from its beginning on."""
        self.own: Hashable = self if own is None else own
        """The name under which its own blocks can be found."""
        self.before = pieces[:-1] if own is not None and pieces and pieces[-1][0] == own else pieces
        """Those that come before its own blocks: what it shares last may be what it goes on from."""
        self.keeps = own is not None
        """Whether others may look for them when it has ended."""
        self.workload = 0
        """Its place among those that are told apart."""
        self.since = -1
        """When its latest token came, where it got none in a step after it; nanoseconds."""
        self.received = 0
        """Tokens whose keys and values were computed elsewhere, and sent: all that is known but for the last."""
        self.stays = False
        """Whether it holds its blocks when it has ended, until these are released."""
        self.came = -1
        """Its place among those that came to its engine, where somebody asks for it."""
        self.adapter = adapter
        """What it needs beside the model; None: nothing."""
        self.loads = 0
        """How often that was loaded for it."""
        self.gains, self.turn = gains, 0
        """Where tokens are drafted: how many each step gives back in which it decodes, and those that have."""
        self.computed = 0
        self.issued = 0
        """Tokens of the output."""
        self.base = 0
        """While it decodes: plan number n finds base + n tokens computed."""
        self.last = -1
        """While it decodes: the number of the plan that issues its last token."""
        self.order = -1
        """Its place among all admissions."""
        self.blocks = 0
        """Those that it holds; while it decodes they follow from what is computed."""
        self.shared: list[tuple[Prefix, int]] = []
        """The runs that it holds blocks of, and how many."""
        self.copies = False
        """Whether somebody else computed the same blocks before: its own are not found."""
        self.preempted = 0
        """How often."""
        self.lost = 0
        """Tokens whose keys and values were given up."""
        self.hits = 0
        """Tokens that were found in the cache."""
