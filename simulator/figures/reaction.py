"""How long an autoscaler took to answer an overload, and what that time went on.

A reaction is measured from when a pool is overloaded (`simulator.figures.stability`, to within a sixtieth of the
measured time) until the first replica is ready of the first scale-up that helps: one whose replicas become ready after
the overload began. It is split at what the run wrote down:

- *metric*: until the reading was taken that the first decision rested on which asked for more: the scrape and the
  window. Nothing where more was asked for before the overload began.
- *sync*: from then until that decision: the reading's delay, and the wait for the next decision.
- *held back*: while decisions kept asking for more and were not followed: stabilisation, delays, rates, alarm counts.
- *no machine*: from the decision until a replica was launched; more than nothing only at a quota or an outage.
- *machine*: until the machine had started.
- *load*, or the steps of a pool's `start`: until the replica took requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise, zip_longest

from simulator.figures.stability import Spell
from simulator.quantities import SECOND
from simulator.run.lives import Lives, ReplicaRecord, ScalingRecord

_BEFORE = ("metric", "sync", "held back", "no machine", "machine")
REACTION = (*_BEFORE, "image", "weights", "warm-up", "probe", "endpoint", "load")
"""Every stage that a reaction may have, in their order."""


def reactions(spells: Sequence[Spell], lives: Lives) -> list[dict[str, float] | None]:
    """Seconds by stage for each time of overload of a pool; None where none of its scale-ups helped in it."""
    answers = helping(lives)
    return [_reaction(lives, answers, round(spell.start * SECOND), round(spell.end * SECOND)) for spell in spells]


def helping(lives: Lives) -> list[tuple[int, ReplicaRecord]]:
    """The scale-ups that gave a ready replica: the position of the decision, and the first of its replicas."""
    ups = [place for place, one in enumerate(lives.scaling) if one.desired > one.before]
    found = []
    for place, following in zip_longest(ups, ups[1:]):
        since = lives.scaling[place].time
        until = lives.scaling[following].time if following is not None else None
        own = [
            one
            for one in lives.replicas
            if one.ready is not None and one.launched >= since and (until is None or one.launched < until)
        ]
        if own:
            found.append((place, min(own, key=lambda one: one.ready or 0)))
    return found


def _reaction(lives: Lives, answers: list[tuple[int, ReplicaRecord]], start: int, end: int) -> dict[str, float] | None:
    for place, first in answers:
        decided = lives.scaling[place].time
        if decided >= end:
            return None
        ready = first.ready
        if ready is None or ready <= start:
            continue
        wish = _asked(lives, place)
        read, asked = max(start, min(wish.time, wish.read or wish.time)), max(start, wish.time)
        up = ready - sum(time for _, time in first.steps)
        ends = accumulate((time for _, time in first.steps), initial=up)
        marks = [start, *(max(start, mark) for mark in (read, asked, decided, first.launched, *ends))]
        names = (*_BEFORE, *(name for name, _ in first.steps))
        return {name: (after - before) / SECOND for name, (before, after) in zip(names, pairwise(marks), strict=True)}
    return None


def _asked(lives: Lives, place: int) -> ScalingRecord:
    """The first of the decisions up to this scale-up that asked for more than was wanted."""
    while place and (proposal := lives.scaling[place - 1].proposal) is not None:
        before = lives.scaling[place - 1]
        if proposal <= before.before or before.desired != before.before:
            break
        place -= 1
    return lives.scaling[place]
