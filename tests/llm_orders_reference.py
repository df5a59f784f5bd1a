"""The orders of SGLang and TensorRT-LLM, token by token and block by block, and slow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llm_reference import Asked, Entry, Reference

from simulator.llm import sglang


@dataclass
class Pages:
    """What both engines call by other names."""

    block_size: int = 1
    blocks: int = 10_000
    prefix_caching: bool = True
    drafts: int = 0


@dataclass
class SgLangEngine(Pages):
    """Settings of SGLang."""

    max_running_requests: int = 64
    chunked_prefill_size: int = 2048
    max_prefill_tokens: int = 4096
    enable_mixed_chunk: bool = False
    schedule_policy: str = "fcfs"
    schedule_conservativeness: float = 1.0
    max_new_tokens: int = 0

    @property
    def page_size(self) -> int:
        return self.block_size

    @property
    def disable_radix_cache(self) -> bool:
        return not self.prefix_caching


@dataclass
class TensorRtEngine(Pages):
    """Settings of TensorRT-LLM."""

    max_batch_size: int = 64
    max_num_tokens: int = 2048
    evicts: bool = False
    enable_chunked_prefill: bool = False
    max_tokens: int = 0

    @property
    def tokens_per_block(self) -> int:
        return self.block_size

    @property
    def enable_block_reuse(self) -> bool:
        return self.prefix_caching


class Order(Reference):
    """What the two have in common."""

    def found(self, asked: Asked) -> list[int]:
        found: list[int] = []
        for block in range((asked.known() + asked.flying - 1) // self.settings.block_size):
            hit = self.find(asked.name(block)) if self.settings.prefix_caching else None
            if hit is None:
                break
            found.append(hit)
        return found

    def fetch(self, asked: Asked, found: list[int]) -> None:
        """Lets in one that waits, with blocks for all that is known of it."""
        self.waiting.remove(asked)
        for block in found:
            if not self.holders[block]:
                self.free.remove(block)
            self.holders[block] += 1
        asked.blocks, asked.computed, asked.copies = found, len(found) * self.settings.block_size, False
        asked.hits += asked.computed
        while len(asked.blocks) * self.settings.block_size < asked.known() + asked.flying:
            asked.blocks.append(self.take())
        self.running.append(asked)

    def deciding(self) -> list[Asked]:
        return [asked for asked in self.running if asked.decodes and asked.generated + asked.flying < asked.output]

    def prompting(self) -> list[Asked]:
        return [asked for asked in self.running if not asked.decodes]

    def lacks(self, asked: Asked) -> bool:
        return asked.computed == len(asked.blocks) * int(self.settings.block_size)


class SgLangReference(Order):
    def __init__(self, settings: Any, lasts: Callable[..., int], asynchronous: bool) -> None:
        super().__init__(settings, lasts, asynchronous)
        self.full, self.rode, self.ended, self.since = False, False, 0, 0
        self.fresh: list[Asked] = []
        self.begins = min(1.0, 0.7 * settings.schedule_conservativeness)
        self.ratio, self.decays = self.begins, 0

    def wants(self, asked: Asked) -> int:
        room: int = self.settings.blocks * self.settings.block_size - asked.prompt - 2
        most: int = self.settings.max_new_tokens
        return max(asked.output, min(most, room))

    def future(self, asked: Asked) -> int:
        return min(self.wants(asked) - asked.generated - asked.flying, sglang.CLIP)

    def notice(self) -> None:
        if self.ended:
            self.full, self.ended = False, 0

    def let_find(self) -> None:
        for asked in self.fresh:
            self.register(asked, min(asked.computed, asked.prompt))
        self.fresh = []

    def give(self, one: Entry, now: int) -> None:
        self.let_find()
        self.ended += one.asked in self.running and one.asked.generated + 1 == one.asked.output
        super().give(one, now)
        self.since = now

    def plan(self) -> list[Entry]:
        settings = self.settings
        self.let_find()
        if not self.running and all(asked.arrived >= self.since for asked in self.waiting):  # it was idle
            self.ratio, self.decays = self.begins, 0
        if not self.deciding():
            self.full, self.ended = False, 0
        elif self.rode:
            self.notice()
        self.rode = False
        old = self.deciding()
        left = sum(self.future(asked) for asked in old)
        wanted = bool(self.prompting() or (self.waiting and not self.full))
        if wanted and settings.enable_mixed_chunk and old:
            lacking = sum(self.lacks(asked) for asked in old)
            if lacking <= len(self.free) or self.prompting():
                plan = [self.one(asked) for asked in old] if lacking <= len(self.free) else []
                prompts = self.prompts(left, len(plan))
                self.rode = bool(prompts)
                if not prompts:
                    self.decays += 1
                    self.notice()
                return plan + prompts
        elif wanted:
            prompts = self.prompts(left, 0)
            if prompts:
                return prompts
        return self.decode()

    def prompts(self, left: int, beside: int) -> list[Entry]:
        settings, size = self.settings, self.settings.block_size
        decay = (self.begins - 0.14 * self.begins) / 600
        kept = max(self.ratio - self.decays * decay, 0.14 * self.begins) * left
        chunk = settings.chunked_prefill_size - beside if settings.chunked_prefill_size > 0 else 10**9
        budget = settings.max_prefill_tokens - beside
        plan: list[Entry] = []
        for asked in self.prompting():
            count = min(chunk, asked.known() + asked.flying - asked.computed)
            if count <= 0:
                return plan
            whole = count == asked.known() + asked.flying - asked.computed
            kept += self.future(asked)
            plan.append(self.part(asked, count))
            if not whole:
                return plan
            chunk, budget = chunk - count, budget - count
        if settings.schedule_policy == "lpm" and settings.prefix_caching and len(self.waiting) <= sglang.SORTED:
            self.waiting.sort(key=lambda asked: -len(self.found(asked)))
        for asked in list(self.waiting):
            if chunk <= 0 or budget <= 0:
                break
            if len(self.running) + self.ended >= settings.max_running_requests:
                self.full = True
                break
            found = self.found(asked)
            rest = asked.known() + asked.flying - len(found) * size
            idle = sum(not self.holders[block] for block in found)
            if rest + self.future(asked) >= (len(self.free) - idle) * size - kept:
                self.full = True
                break
            pages = -(-rest // size) * size
            count = rest if pages <= chunk else chunk - chunk % size
            if not count or (pages >= budget and plan):
                break
            kept += self.future(asked)
            self.fetch(asked, found)
            plan.append(self.part(asked, count))
            if count < rest:
                break
            chunk, budget = chunk - pages, budget - pages
        return plan

    def part(self, asked: Asked, count: int) -> Entry:
        self.fresh.append(asked)
        return self.entry(asked, count)

    def one(self, asked: Asked) -> Entry:
        if self.lacks(asked):
            asked.blocks.append(self.take())
        return self.entry(asked, 1)

    def decode(self) -> list[Entry]:
        jobs = self.deciding()
        if not jobs:
            return []
        if sum(self.lacks(asked) for asked in jobs) > len(self.free):
            stay = self.retract(jobs)
            jobs = [asked for asked in jobs if asked in stay]
        else:
            self.decays += 1
        if sum(self.lacks(asked) for asked in jobs) > len(self.free):
            return []
        plan = [self.one(asked) for asked in jobs]
        self.notice()
        return plan

    def retract(self, jobs: list[Asked]) -> list[Asked]:
        places = {id(asked): place for place, asked in enumerate(self.running)}
        stay = sorted(jobs, key=lambda asked: (-asked.generated - asked.flying, asked.prompt, places[id(asked)]))
        first = True
        while len(stay) > 1 and (
            first
            or len(self.free) * self.settings.block_size < 20 * len(stay)
            or len(self.free) < sum(self.lacks(asked) for asked in stay)
        ):
            first = False
            asked = stay.pop()
            self.running.remove(asked)
            self.register(asked, min(asked.computed, asked.prompt))
            for block in asked.blocks[asked.prompt // self.settings.block_size :]:
                self.names.pop(block, None)
            self.give_back(asked)
            asked.preempted += 1
            asked.computed, asked.decodes = 0, False
            self.waiting.append(asked)
        issued = sum(asked.generated + asked.flying + 20 for asked in stay)
        self.ratio, self.decays = min(1.0, issued / sum(self.wants(asked) for asked in stay)), 0
        self.full = False
        return stay


class TensorRtReference(Order):
    def to_end(self, asked: Asked) -> int:
        tokens = asked.prompt + max(asked.output, self.settings.max_tokens)
        blocks: int = min(-(-tokens // self.settings.block_size), self.settings.blocks)
        return blocks

    def plan(self) -> list[Entry]:
        budget, paused = self.settings.max_num_tokens, False
        plan = []
        for asked in self.deciding():
            while asked in self.running and self.lacks(asked) and not self.free:
                paused = True
                self.preempt(self.running[-1])
            if asked in self.running and self.lacks(asked):
                asked.blocks.append(self.take())
        for asked in self.deciding():
            plan.append(self.entry(asked, 1))
            budget -= 1
        prompts = []
        for asked in self.prompting():
            prompts.append((asked, self.part(asked.known() + asked.flying - asked.computed, budget)))
            budget -= prompts[-1][1]
        for asked, count in prompts:
            if count:
                plan.append(self.prompt(asked, count))
        while self.waiting and not paused and len(self.running) < self.settings.max_batch_size:
            asked = self.waiting[0]
            found = self.found(asked)
            rest = asked.known() + asked.flying - len(found) * self.settings.block_size
            count = self.part(rest, budget)
            idle = sum(not self.holders[block] for block in found)
            whole = -(-(asked.known() + asked.flying) // self.settings.block_size)
            if self.settings.evicts:
                fits = whole - len(found) + idle <= len(self.free)
            else:
                left = sum(self.to_end(other) - len(other.blocks) for other in self.running)
                fits = self.to_end(asked) <= len(self.free) - left
            if not count or not fits:
                break
            self.fetch(asked, found)
            plan.append(self.prompt(asked, count))
            budget -= count
        return plan

    def prompt(self, asked: Asked, count: int) -> Entry:
        entry = self.entry(asked, count)
        self.register(asked, min(asked.computed, asked.prompt))
        return entry

    def part(self, rest: int, budget: int) -> int:
        if rest <= budget:
            return rest
        whole: int = budget - budget % self.settings.block_size
        return whole if self.settings.enable_chunked_prefill else 0
