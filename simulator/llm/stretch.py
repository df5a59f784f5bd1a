"""Steps that are made at once, as a sum that is known in closed form: nothing is done for each of them.

Step k of a stretch takes first + (k - 1) growth ticks and ends on the nanosecond that its last tick reaches, so the
time from one end to the next is the step's, rounded down or up. All is exact: it is what the steps one by one come to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from simulator.buckets import bottom, bucket_of

TICKS = 1 << 20
"""To a nanosecond."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Steps of one engine that serve the same requests."""

    origin: int
    ticks: int
    """It begins so many ticks after a nanosecond."""
    first: int
    growth: int
    """Ticks of the first step, and how many more each takes than the one before."""
    count: int
    held: int
    """Blocks that are held while the first step is made."""
    taken: Sequence[int]
    """Blocks that are taken when the first step ends, when the second does, and so on; then the same again."""

    def span(self, steps: int) -> int:
        """Ticks that the first so many steps take."""
        return steps * self.first + self.growth * (steps * (steps - 1) // 2)

    def end(self, steps: int) -> int:
        """When they have ended; nanoseconds."""
        return self.origin - (-(self.ticks + self.span(steps)) // TICKS)

    def ended(self, time: int) -> int:
        """How many have ended before a time."""
        low, high = 0, self.count
        while low < high:
            half = (low + high + 1) // 2
            if self.end(half) < time:
                low = half
            else:
                high = half - 1
        return low

    def until(self, time: int, ended: int) -> int:
        """Ticks of the stretch until a time before which so many have ended; at the latest the end of the next step."""
        passed = (time - self.origin) * TICKS - self.ticks
        return min(passed, self.span(min(ended + 1, self.count)))

    def takes(self, steps: int) -> int:
        """Blocks that are taken when the first so many steps have ended; with the last nothing is."""
        if not self.taken:
            return 0
        rounds, rest = divmod(min(steps, self.count - 1), len(self.taken))
        return rounds * sum(self.taken) + sum(self.taken[:rest])

    def area(self, until: int, ended: int) -> int:
        """Blocks held times ticks, from its beginning until so many ticks later, when so many steps have ended."""
        found, turns = self.held * until, min(ended, self.count - 1)
        size = len(self.taken)
        for place, blocks in enumerate(self.taken[:turns]):
            if blocks:
                # Taken when step k = place + 1 ends, k + size, ...; k steps take k first + growth k (k - 1) / 2 ticks.
                times = (turns - 1 - place) // size + 1
                pairs = times * (times - 1) // 2
                steps = times * (place + 1) + size * pairs
                squares = times * (place + 1) ** 2 + 2 * (place + 1) * size * pairs
                squares += size * size * (pairs * (2 * times - 1) // 3)
                found += blocks * (times * until - self.first * steps - self.growth * ((squares - steps) // 2))
        return found

    def faster(self, bound: int, since: int, until: int) -> int:
        """How many of the steps after the first `since`, up to the first `until`, take less than a bound."""
        surely, perhaps = (self._below(ns * TICKS, since, until) for ns in (bound - 1, bound))
        # Those between take one nanosecond less than the bound, or the bound: their sum tells how many of each.
        low, high = (since + surely, since + perhaps) if self.growth >= 0 else (until - perhaps, until - surely)
        return perhaps - (self.end(high) - self.end(low) - (perhaps - surely) * (bound - 1))

    def buckets(self, since: int, until: int) -> Iterator[tuple[int, int]]:
        """The buckets of their times, and how many fall into each."""
        ends = [(self.first + self.growth * place) // TICKS for place in (since, until - 1)]
        place = bucket_of(min(ends))
        if bucket_of(max(ends) + 1) - place >= until - since:
            for step in range(since, until):
                yield bucket_of(self.end(step + 1) - self.end(step)), 1
            return
        done = 0
        while done < until - since:
            count = self.faster(bottom(place + 1), since, until)
            if count > done:
                yield place, count - done
            done, place = count, place + 1

    def _below(self, ticks: int, since: int, until: int) -> int:
        """How many of these steps take fewer ticks."""
        most, first, growth = until - since, self.first + self.growth * since, self.growth
        if not growth:
            return most if first < ticks else 0
        if growth > 0:
            return min(max(-((first - ticks) // growth), 0), most)
        return most - min(max((ticks - first) // growth + 1, 0), most)
