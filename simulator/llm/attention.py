"""The attention of steps that only decode, only prefill, or do both, from times measured at places of a grid.

Between places times are on straight lines along each size, in natural units; below the first place they are those of
the first, beyond the last they go on as between the last two, but never fall. The grid may be ragged: each chunk has
its own histories.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence

Place = tuple[int, int, int, int, float]
"""Tokens of a prompt's chunk, those before it, decoding requests, what each attends to, nanoseconds."""
_NEAR = 512
"""Tokens of history from 0 on along which the time is taken to grow for less than none."""


def bracket(places: Sequence[int], at: float) -> tuple[int, float]:
    """The last place that is not beyond, and how far it is on the way to the next (above 1 beyond the last)."""
    if at <= places[0] or len(places) == 1:
        return 0, 0.0
    index = min(bisect_right(places, at), len(places) - 1) - 1
    return index, (at - places[index]) / (places[index + 1] - places[index])


def blend(one: float, other: float, way: float) -> float:
    """What lies so far on the way from one to the other; beyond the other it never falls."""
    return other if way > 1 and other < one else one + way * (other - one)


class Line:
    """Values at places, and straight lines between them."""

    __slots__ = ("places", "values")

    def __init__(self, places: Sequence[int], values: Sequence[float]) -> None:
        self.places, self.values = list(places), list(values)

    @classmethod
    def of(cls, points: Mapping[int, float]) -> Line:
        """Through points in any order."""
        places = sorted(points)
        return cls(places, [points[place] for place in places])

    def at(self, at: float) -> float:
        """The value there."""
        index, way = bracket(self.places, at)
        return blend(self.values[index], self.values[index + 1], way) if way else self.values[index]


class Curve:
    """A line in whole ticks, over what `count` requests attend to together."""

    __slots__ = ("bases", "edges", "slopes")

    def __init__(self, line: Line, scale: float, count: int) -> None:
        places, values = line.places, [value * scale for value in line.values]
        slopes = [
            round((values[index + 1] - values[index]) / ((places[index + 1] - places[index]) * count))
            for index in range(len(places) - 1)
        ]
        self.edges = [place * count for place in places]
        """Where a piece ends; the first is level, and the last goes on for ever."""
        self.bases = [round(value) for value in (values[0], *values)]
        """The value at the beginning of each piece."""
        self.slopes = [0, *slopes, max(0, slopes[-1]) if slopes else 0]
        """Of each piece."""


def between(lines: Mapping[int, Line], at: float) -> Line:
    """The line at a place, between those that are known."""
    known = sorted(lines)
    index, way = bracket(known, at)
    if not way:
        return lines[known[index]]
    one, other = lines[known[index]], lines[known[index + 1]]
    places = sorted({*one.places, *other.places})
    return Line(places, [blend(one.at(place), other.at(place), way) for place in places])


class Attention:
    """Times of all layers together, in nanoseconds."""

    def __init__(self, measured: Sequence[Place]) -> None:
        decode: dict[int, dict[int, float]] = defaultdict(dict)
        prefill: dict[int, dict[int, float]] = defaultdict(dict)
        mixed: dict[int, dict[int, dict[int, dict[int, float]]]] = defaultdict(
            lambda: defaultdict(lambda: defaultdict(dict))
        )
        for chunk, before, decodes, context, time in measured:
            if not chunk:
                decode[decodes][context] = time
            elif not decodes:
                prefill[chunk][before] = time
            else:
                mixed[chunk][before][decodes][context] = time
        self._decode = {decodes: Line.of(points) for decodes, points in decode.items()}
        self._prefill = {chunk: Line.of(points) for chunk, points in prefill.items()}
        self._mixed = {
            chunk: {
                before: {decodes: Line.of(points) for decodes, points in lines.items()}
                for before, lines in sorted(histories.items())
            }
            for chunk, histories in mixed.items()
        }
        self._least = min(time for *_, time in measured)
        self._chunks = {False: sorted(prefill), True: sorted({*prefill, *mixed})}
        self._histories = {chunk: list(histories) for chunk, histories in self._mixed.items()}
        self._decoding: dict[int, Line] = {}
        self._lines: dict[tuple[int, int, int], Line] = {}

    def decoding(self, decodes: int) -> Line:
        """Of so many decoding requests alone, over what each attends to."""
        found = self._decoding.get(decodes)
        if found is None:
            found = self._decoding[decodes] = between(self._decode, decodes)
        return found

    def of(self, tokens: int, history: float, decodes: int, mean: float, longest: int, skew: float) -> float:
        """Of prompts that are one chunk of so many tokens after `history` others, beside those that decode.

        `history` is below 0 where prompts are many and short: time is taken off as it grows at its beginning. Chunks
        beyond the largest are taken to follow one another.
        """
        chunks = self._chunks[decodes > 0]
        if tokens > chunks[-1]:
            history += (tokens - chunks[-1]) / 2
            rest = (tokens / chunks[-1] - 1) * self._chunk(chunks[-1], history, 0, 0.0, 0, 0.0)
            return max(rest + self._chunk(chunks[-1], history, decodes, mean, longest, skew), self._least)
        index, way = bracket(chunks, tokens)
        time = self._chunk(chunks[index], history, decodes, mean, longest, skew)
        if way:
            time = blend(time, self._chunk(chunks[index + 1], history, decodes, mean, longest, skew), way)
        return max(time, self._least)

    def _chunk(self, chunk: int, history: float, decodes: int, mean: float, longest: int, skew: float) -> float:
        """The same of a chunk whose size was measured."""
        if not decodes:
            line = self._prefill[chunk]
            index, other, way = _towards(line.places, history)
            return blend(line.values[index], line.values[other], way) if way else line.values[index]
        histories = self._histories.get(chunk)
        if histories is None:  # not measured beside others that decode: the sum of what each takes alone
            alone, line = self._chunk(chunk, history, 0, 0.0, 0, 0.0), self.decoding(decodes)
            return alone + (1 - skew) * line.at(mean) + skew * line.at(longest)
        index, other, way = _towards(histories, history)
        time = self._beside(chunk, histories[index], decodes, mean, longest, skew)
        if way:
            time = blend(time, self._beside(chunk, histories[other], decodes, mean, longest, skew), way)
        return time

    def _beside(self, chunk: int, before: int, decodes: int, mean: float, longest: int, skew: float) -> float:
        line = self._lines.get((chunk, before, decodes))
        if line is None:
            line = self._lines[chunk, before, decodes] = between(self._mixed[chunk][before], decodes)
        time = line.at(mean)
        return time + skew * (line.at(longest) - time) if skew else time


def _towards(histories: Sequence[int], history: float) -> tuple[int, int, float]:
    """The histories on either side, and how far it is on the way from the first to the second.

    Below 0 it is that far back, at the pace from the first to the last within `_NEAR`: closer ones are noise.
    """
    if history < 0:
        other = max(bisect_right(histories, _NEAR) - 1, min(1, len(histories) - 1))
        return 0, other, (history / (histories[other] - histories[0]) if other else 0.0)
    index, way = bracket(histories, history)
    return index, index + 1, way
