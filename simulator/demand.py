"""What requests bring to a stage on average, and so how long its batches take and how many it can serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator.batching import LlmEngine, Policy
from simulator.llm.service import OUTPUT, PROMPT, together

if TYPE_CHECKING:
    from simulator.case import Case
    from simulator.parts import CaseWorkload
    from simulator.streams import Floats


@dataclass(frozen=True)
class Mixture:
    """A size of the items that come to a stage from several workloads: ascending values, each with its share."""

    values: Floats
    shares: Floats
    mean: float

    def largest(self, items: float) -> float:
        """Mean of the largest of so many items."""
        below = np.concatenate([[0.0], np.cumsum(self.shares)])
        return float(self.values @ np.diff((below / below[-1]) ** items))

    def units(self, items: float, padded: bool) -> float:
        """Mean sum over so many items, each counted with the largest of them where they are padded."""
        return items * (self.largest(items) if padded else self.mean)


@dataclass(frozen=True)
class Demand:
    """The requests of some workloads at one stage."""

    case: Case
    stage: int
    workloads: Sequence[CaseWorkload]

    def share(self, workload: CaseWorkload) -> float:
        """Of a workload's requests, those that the stage does not let pass by."""
        found = 1.0
        for condition in self.case.stages[self.stage].only:
            found *= float(condition.holds(workload.size(condition.size).spread()).mean())
        return found

    def _sizes(self, workload: CaseWorkload, name: str) -> tuple[Floats, float]:
        """Equally likely sizes of a workload's requests that come to the stage, and their mean."""
        law = workload.size(name)
        values, wanted = law.spread(), [one for one in self.case.stages[self.stage].only if one.size == name]
        for condition in wanted:
            values = values[condition.holds(values)]
        return (values, float(values.mean())) if wanted and len(values) else (law.spread(), law.average())

    def _weights(self) -> Floats:
        rates = np.array([self.case.rate(item) if len(self.workloads) > 1 else 1.0 for item in self.workloads])
        rates = rates * [self.share(item) for item in self.workloads]
        known = np.isfinite(rates).all() and rates.sum() > 0
        return rates / rates.sum() if known else np.full(len(rates), 1 / len(rates))

    def items(self) -> float:
        """Mean items of a request; one where nobody comes."""
        if not self.workloads:
            return 1.0
        found = [1.0 if item.items is None else item.items.average() for item in self.workloads]
        return float(self._weights() @ found)

    def mixture(self, name: str) -> Mixture:
        """A size of the items; nothing where nobody comes."""
        if not self.workloads:
            return Mixture(np.zeros(1), np.ones(1), 0.0)
        parts, means = zip(*(self._sizes(item, name) for item in self.workloads), strict=True)
        shares = self._weights()
        shares = shares * [1.0 if item.items is None else item.items.average() for item in self.workloads]
        shares = shares / shares.sum()
        values, counts = np.concatenate(parts), [len(part) for part in parts]
        order = np.argsort(values, kind="stable")
        each = np.repeat(shares / counts, counts)[order]
        return Mixture(values[order], each, float(shares @ means))

    def tokens(self) -> tuple[float, float, float, float]:
        """Mean tokens of a request at an engine: shared with others, said before, the rest of the prompt, the answer.

        What is shared and what was said is found in the cache at best; what was computed elsewhere counts as said.
        """
        stage, (shared, said, new, output) = self.case.stages[self.stage], self._asked()
        received, computed, answered = stage.computes(shared + said + new, output)
        return (shared, said, new, answered) if stage.receives is None else (0.0, received, computed, answered)

    def _asked(self) -> tuple[float, float, float, float]:
        """The same as if the engine computed all of it."""
        prompt, output = self.mixture(PROMPT).mean, self.mixture(OUTPUT).mean
        batching = self.case.pools[self.case.stages[self.stage].pool].batching
        if all(item.prompts is None for item in self.workloads):
            return 0.0, 0.0, prompt, output
        parts = [_beginning(item) for item in self.workloads]
        shared, said, new = (float(mean) for mean in self._weights() @ np.array(parts))
        if isinstance(batching, LlmEngine) and not batching.caches:
            return 0.0, 0.0, shared + said + new, output
        return shared, said, new, output

    def work(self, items: Sequence[float]) -> list[float]:
        """Mean work of batches of so many items, in nanoseconds."""
        law, batching = (
            self.case.stages[self.stage].service,
            self.case.pools[self.case.stages[self.stage].pool].batching,
        )
        if isinstance(batching, LlmEngine):
            times, (shared, said, new, output) = batching.times(law), self.tokens()
            apart = batching.front_end.apart(shared + said + new)
            ranks, parts = batching.data_parallel_size, (new, output, shared + said, batching.drafts, batching.gain)
            return [max(together(times, count / ranks, *parts), count * apart) for count in items]
        padded = batching.cost
        counts = [padded(int(count)) if float(count).is_integer() else count for count in items]
        units = [0.0] * len(counts)
        if law.reads is not None:
            sizes = self.mixture(law.reads)
            units = [sizes.units(count, True) for count in counts] if law.pads else [sizes.mean * one for one in items]
        return [max(law.mean(count, total), 1.0) for count, total in zip(counts, units, strict=True)]

    def longest(self) -> float:
        """Mean work of the largest batch, in nanoseconds."""
        return self.work(self.batches()[-1:])[0]

    def batches(self) -> list[float]:
        """How many items a batch may have, from one request to the most."""
        batching = self.case.pools[self.case.stages[self.stage].pool].batching
        least = self.items()
        if isinstance(batching, LlmEngine):
            _, said, new, output = self.tokens()
            room = batching.data_parallel_size * batching.room / (said + new + output / 2 or 1.0)
            most = max(1, min(batching.largest(), int(room)))
            return sorted({float(most), *(float(1 << power) for power in range(most.bit_length()))})
        found = [least, *(float(count) for count in range(int(least) + 1, int(batching.most(least)) + 1))]
        total = batching.total() if isinstance(batching, Policy) else None
        if total is None:
            return found
        sizes = self.mixture(total.size)
        return [found[0], *(count for count in found[1:] if sizes.units(count, total.padded) <= total.most)]


def _beginning(item: CaseWorkload) -> tuple[float, float, float]:
    """Mean tokens of a prompt: shared with others, said before, the rest."""
    prompt = item.size(PROMPT)
    if item.hashed is not None:
        said = item.hashed.common()
        return 0.0, said, prompt.average() - said
    if item.prompts is None:
        return 0.0, 0.0, prompt.average()
    if item.prompts.history and item.talks is not None:
        said = item.talks.common()
        return 0.0, said, prompt.average() - said
    return item.prompts.mean(prompt, item.size(OUTPUT), item.arrivals)
