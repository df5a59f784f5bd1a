"""The scheduler of an LLM engine as its specification has it, token by token and block by block, and slow."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any


@dataclass(eq=False)
class Asked:
    request: int
    prompt: int
    output: int
    arrived: int = 0
    priority: int = 0
    names: tuple[Hashable, ...] = ()
    """Of the prompt's first blocks: what they hold, as far as others may have the same."""
    own: Hashable = None
    """Whose the blocks after them are, where others may have the same."""
    received: int = 0
    """Tokens whose keys and values come with it: all that is known but for the last."""
    gains: tuple[int, ...] = ()
    """Tokens that it is given by each step in which it decodes, where tokens are drafted for it."""
    turn: int = 0
    adapter: str | None = None
    loads: int = 0
    generated: int = 0
    computed: int = 0
    flying: int = 0
    decodes: bool = False
    copies: bool = False
    blocks: list[int] = field(default_factory=list)
    first: int | None = None
    last: int | None = None
    preempted: int = 0
    hits: int = 0

    def known(self) -> int:
        return self.prompt + self.generated

    def name(self, block: int) -> Hashable:
        return self.names[block] if block < len(self.names) else ("own", self.own or self.request, block)


@dataclass(frozen=True)
class Entry:
    """What a plan does for one request."""

    asked: Asked
    count: int
    before: int
    decodes: bool
    yields: bool
    loads: bool = False
    """Whether its adapter is loaded for it."""


def measured(plan: list[Entry]) -> tuple[int, int, int, int, int, int]:
    """Tokens, sequences, twice the pairs of prompts, decodes, what these attend to, and the most of one of them."""
    chunks = [(one.count, one.before) for one in plan if not one.decodes]
    contexts = [one.asked.known() - 1 + one.count for one in plan if one.decodes]
    return (
        sum(one.count for one in plan),
        len(plan),
        sum(count * (2 * before + count) for count, before in chunks),
        len(contexts),
        sum(contexts),
        max(contexts, default=0),
    )


class Reference:
    """One engine; steps take what `lasts` says of (tokens, sequences, pairs, decodes, context, longest).

    `factors` are what they are multiplied by, in parts: the next whenever others run than in the plan before.
    """

    def __init__(
        self,
        settings: Any,
        lasts: Callable[..., int],
        asynchronous: bool,
        factors: Iterator[int] | None = None,
        parts: int = 1,
    ) -> None:
        self.settings, self.lasts, self.asynchronous = settings, lasts, asynchronous
        self.factors, self.parts = factors or repeat(1), parts
        self.held: list[str] = []
        """Adapters, those that were used last at the end."""
        self.load = 0
        """Of loading one, as a step's time."""
        self.members: set[Asked] = set()
        self.changed = False
        self.free: deque[int] = deque(range(settings.blocks))
        self.names: dict[int, Hashable] = {}
        self.copies: set[int] = set()
        """Blocks whose content was there when they were filled: they are never found."""
        self.holders = [0] * settings.blocks
        self.running: list[Asked] = []
        self.waiting: list[Asked] = []
        self.plans: list[tuple[int, ...]] = []
        self.preemptions = 0

    # Blocks.

    def take(self) -> int:
        block = self.free.popleft()
        self.names.pop(block, None)
        self.copies.discard(block)
        self.holders[block] = 1
        return block

    def find(self, name: Hashable) -> int | None:
        held = [block for block, known in self.names.items() if known == name]
        return held[0] if held else None

    def give_back(self, asked: Asked) -> None:
        for block in reversed(asked.blocks):
            self.holders[block] -= 1
            if not self.holders[block]:
                self.free.append(block)
        asked.blocks = []

    def register(self, asked: Asked, tokens: int) -> None:
        if not self.settings.prefix_caching:
            return
        for place in range(tokens // self.settings.block_size):
            block, name = asked.blocks[place], asked.name(place)
            if block not in self.names and block not in self.copies:
                asked.copies = asked.copies or self.find(name) is not None
                if asked.copies and place < len(asked.names):
                    self.copies.add(block)
                else:
                    self.names[block] = name

    # The plan.

    def plan(self) -> list[Entry]:
        settings, size = self.settings, self.settings.block_size
        budget, preempted = settings.max_num_batched_tokens, False
        plan: list[tuple[Asked, int]] = []
        place = 0
        while place < len(self.running) and budget > 0:
            asked = self.running[place]
            place += 1
            if asked.generated + asked.flying >= asked.output:
                continue
            count = asked.known() + asked.flying - asked.computed
            if asked.decodes:
                count = 1 + settings.drafts
            count = min(count, settings.long_prefill_token_threshold or count, budget)
            if not count:
                continue
            lost = False
            slots = asked.computed + count + settings.drafts
            while -(-slots // size) - len(asked.blocks) > len(self.free):
                victim = self.running[-1]
                if settings.priority:
                    victim = max(self.running, key=lambda one: (one.priority, one.arrived))
                preempted = True
                for entry in [entry for entry in plan if entry[0] is victim]:
                    plan.remove(entry)
                    budget += entry[1]
                if self.running.index(victim) < place:
                    place -= 1
                self.preempt(victim)
                if victim is asked:
                    lost = True
                    break
            if lost:
                break
            while len(asked.blocks) < -(-slots // size):
                asked.blocks.append(self.take())
            plan.append((asked, count))
            budget -= count
        # Blocks of prompts that are planned can be found by who is admitted in the same step.
        for asked, count in plan:
            self.register(asked, min(asked.computed + count, asked.known()))
        preempted = preempted or (settings.static and bool(self.running))
        loaded: list[Asked] = []
        if settings.priority:
            self.waiting.sort(key=lambda one: (one.priority, one.arrived, one.request))
        passed = 0
        while not preempted and passed < len(self.waiting) and budget > 0 and len(self.running) < settings.max_num_seqs:
            asked = self.waiting[passed]
            used = {one.adapter for one in self.running if one.adapter}
            if asked.adapter and asked.adapter not in used and len(used) >= settings.max_loras:
                passed += 1
                continue
            found: list[int] = []
            if settings.prefix_caching:
                for block in range((asked.known() - 1) // size):
                    hit = self.find(asked.name(block))
                    if hit is None:
                        break
                    found.append(hit)
            there = max(len(found) * size, asked.received)
            rest = asked.known() - there
            count = min(rest, settings.long_prefill_token_threshold or rest, budget)
            if not settings.chunked_prefill and rest > budget:
                break
            extra = sum(not self.holders[block] for block in found)
            spare = settings.watermark if plan else 0
            chunk = -(-(there + count) // size) - len(found) + extra + spare
            whole = -(-asked.known() // size) - len(found) + extra + spare
            if chunk > len(self.free) or (settings.whole_prompt_check and whole > len(self.free)):
                break
            self.waiting.pop(passed)
            if asked.adapter and asked.adapter not in self.held:
                if len(self.held) == settings.max_loras:
                    self.held.remove(next(one for one in self.held if one not in used))
                self.held.append(asked.adapter)
                asked.loads += 1
                loaded.append(asked)
            for block in found:
                if not self.holders[block]:
                    self.free.remove(block)
                self.holders[block] += 1
            asked.blocks, asked.computed, asked.copies = found, there, False
            asked.hits += len(found) * size
            while len(asked.blocks) < -(-(asked.computed + count) // size):
                asked.blocks.append(self.take())
            self.running.append(asked)
            self.register(asked, asked.computed + count)
            plan.append((asked, count))
            budget -= count
        served = [asked for asked, _ in plan]
        members = {one for one in self.running if one in served or one.generated + one.flying < one.output}
        self.changed, self.members = self.changed or members != self.members, members
        return [self.entry(asked, count, asked in loaded) for asked, count in plan]

    def entry(self, asked: Asked, count: int, loads: bool = False) -> Entry:
        before, decodes = asked.computed, asked.decodes or asked.received > 0
        asked.computed += count
        yields = decodes or asked.computed == asked.known() + asked.flying
        if yields:
            asked.flying += 1
            asked.decodes = True
        return Entry(asked, count, before, decodes, yields, loads)

    def leave(self, asked: Asked) -> None:
        self.running.remove(asked)
        if asked.adapter and all(one.adapter != asked.adapter for one in self.running):
            self.held.remove(asked.adapter)
            self.held.append(asked.adapter)

    def preempt(self, asked: Asked) -> None:
        self.leave(asked)
        self.register(asked, min(asked.computed, asked.known()))
        self.give_back(asked)
        asked.preempted += 1
        self.preemptions += 1
        asked.computed = asked.received = 0
        asked.decodes = False
        if asked.generated + asked.flying < asked.output:
            self.waiting.insert(0, asked)

    # Time.

    def run(self, all_asked: list[Asked]) -> None:
        """All of them, in order of arrival, until the last token."""
        coming, now = deque(all_asked), 0
        began, made, factor = 0, 0, 1
        queued: list[Entry] = []
        while coming or self.running or self.waiting or queued:
            if not queued and not self.running and not self.waiting and coming[0].arrived >= now:
                began, made = coming[0].arrived, 0
                now = began
            step, queued = queued, []
            while coming and coming[0].arrived <= now:
                self.waiting.append(coming.popleft())
            step = step or self.plan()
            if not step:
                if not self.running:
                    began, made = coming[0].arrived, 0
                    now = began
                continue
            if self.changed:
                factor, self.changed = next(self.factors), False
            if self.asynchronous:
                queued = self.plan()
            self.plans.append(measured(step))
            made += (self.lasts(*self.plans[-1]) + self.load * sum(one.loads for one in step)) * factor
            now = began - (-made // self.parts)
            for one in step:
                if one.yields and one.asked.last is None:
                    self.give(one, now)

    def give(self, one: Entry, now: int) -> None:
        asked, gain = one.asked, 1
        if one.decodes and self.settings.drafts:
            gain = min(asked.gains[asked.turn], one.count)
            asked.turn += 1
            if asked in self.running:
                asked.computed -= one.count - gain
        asked.generated = min(asked.generated + gain, asked.output)
        asked.flying = max(0, asked.flying - 1)
        if asked.first is None:
            asked.first = now
        if asked in self.running:
            self.register(asked, min(asked.computed, asked.known(), asked.prompt + asked.output - 1))
        if asked.generated == asked.output:
            asked.last = now
            if asked in self.running:
                self.leave(asked)
                self.give_back(asked)
            if asked in self.waiting:
                self.waiting.remove(asked)
