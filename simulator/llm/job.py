"""A request as an LLM engine sees it."""

from __future__ import annotations

from collections.abc import Hashable

from simulator.llm.blocks import Prefix

Piece = tuple[Hashable, int]
"""A run of a prompt's blocks that others may share, and the block at which it ends."""


class Job:
    """One request. Tokens are *known* once they are in the prompt or were returned, *issued* from when a step that
    yields them is planned, *computed* from when a step that computes their keys and values is planned.
    """

    __slots__ = (
        "arrived",
        "base",
        "blocks",
        "computed",
        "copies",
        "hits",
        "issued",
        "keeps",
        "last",
        "lost",
        "order",
        "output",
        "own",
        "pieces",
        "preempted",
        "priority",
        "prompt",
        "request",
        "shared",
        "since",
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
        workload: int = 0,
    ) -> None:
        self.request, self.prompt, self.output, self.arrived, self.priority = request, prompt, output, arrived, priority
        self.workload = workload
        """Its place among those that are told apart."""
        self.pieces = pieces
        """What its prompt shares with others, from its beginning on."""
        self.own: Hashable = (request,) if own is None else own
        """The name under which its own blocks can be found."""
        self.keeps = own is not None
        """Whether others may look for them when it has ended."""
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
        self.since = -1
        """When its latest token came, where it got none in a step after it; nanoseconds."""
        self.preempted = 0
        """How often."""
        self.lost = 0
        """Tokens whose keys and values were given up."""
        self.hits = 0
        """Tokens that were found in the cache."""
