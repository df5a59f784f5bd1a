"""Smooth weighted round robin, the way nginx takes turns."""

from __future__ import annotations

from collections import defaultdict
from math import inf

from simulator.dispatch.base import IN_TURN, NEXT, SHORTEST, Picker, View
from simulator.dispatch.tournament import Tournament


class Smooth:
    """Smooth weighted round robin among the ready slots with the smallest load per weight.

    At a pick the turn of every candidate grows by its weight, the largest turn wins (the lowest slot on a tie), and
    the winner's turn falls by the total weight of the candidates. Candidates of the same weight and load grow alike,
    so their growth is kept once for all, and a pick costs a comparison for each distinct weight and one logarithm.
    """

    def __init__(self, weights: tuple[int, ...]) -> None:
        self.weights = weights
        self.loads: defaultdict[int, int] = defaultdict(int)
        """By slot, ready or not."""
        self.classes: dict[int, _Class] = {}
        """By weight."""

    def regroup(self, ready: list[int], slots: int) -> None:
        """Other slots are ready: those that stay keep their turn, new ones begin at zero."""
        turns = {slot: one.turn(slot) for one in self.classes.values() for slot in one.base}
        by_weight: defaultdict[int, dict[int, int]] = defaultdict(dict)
        for slot in ready:
            by_weight[self.weights[slot % len(self.weights)]][slot] = turns.get(slot, 0)
        self.classes = {weight: _Class(weight, members, self.loads, slots) for weight, members in by_weight.items()}

    def load(self, slot: int, change: int) -> None:
        """The load of a slot changes."""
        before = self.loads[slot]
        self.loads[slot] = before + change
        one = self.classes.get(self.weights[slot % len(self.weights)])
        if one is not None and slot in one.base:
            one.move(slot, before, before + change)

    def pick(self) -> tuple[int, bool]:
        """The slot whose turn it is, and whether there was more than one candidate."""
        tied: list[tuple[_Class, int]] = []
        for one in self.classes.values():
            load = one.tournament.keys[one.tournament.first()][0]
            if tied:
                other, least = tied[0]
                ahead = load * other.weight - least * one.weight
                if ahead > 0:
                    continue
                if ahead < 0:
                    tied.clear()
            tied.append((one, load))
        total = candidates = 0
        best: tuple[int, int] | None = None
        for one, load in tied:
            one.grown[load] += one.weight
            total += one.weight * one.count[load]
            candidates += one.count[load]
            slot = one.tournament.first()
            standing = -one.turn(slot), slot
            if best is None or standing < best:
                best, winner = standing, one
        assert best is not None
        winner.give_up(best[1], total)
        return best[1], candidates > 1


class _Class:
    """The slots of one weight."""

    def __init__(self, weight: int, turns: dict[int, int], loads: dict[int, int], slots: int) -> None:
        self.weight, self.loads = weight, loads
        self.base = turns
        """By slot: its turn, less what its load has grown by."""
        self.grown: defaultdict[int, int] = defaultdict(int)
        """By load."""
        self.count: defaultdict[int, int] = defaultdict(int)
        """Slots by load."""
        for slot in turns:
            self.count[loads[slot]] += 1
        keys = {slot: (loads[slot], -turn) for slot, turn in turns.items()}
        self.tournament = Tournament(slots, keys, (inf, 0))

    def turn(self, slot: int) -> int:
        return self.base[slot] + self.grown[self.loads[slot]]

    def move(self, slot: int, before: int, after: int) -> None:
        self.base[slot] += self.grown[before] - self.grown[after]
        self.count[before] -= 1
        self.count[after] += 1
        self.tournament.update(slot, (after, -self.base[slot]))

    def give_up(self, slot: int, total: int) -> None:
        self.base[slot] -= total
        self.tournament.update(slot, (self.loads[slot], -self.base[slot]))


class SmoothTurns(Picker):
    """Smooth weighted round robin, whatever the load; requests spread over processes that each keep their own turns."""

    def __init__(self, view: View, weights: tuple[int, ...], processes: int = 1) -> None:
        super().__init__(view)
        self.processes = [Smooth(weights) for _ in range(processes)]
        self.regrouped()

    def regrouped(self) -> None:
        """Every process keeps the turns of those that stay."""
        for process in self.processes:
            process.regroup(self.view.ready, len(self.view.outstanding))

    def process(self, request: int) -> Smooth:
        """The process that a request came to: its last uniform number says which."""
        count = len(self.processes)
        return self.processes[int(self.view.draws[-1][request] * count)] if count > 1 else self.processes[0]

    def pick(self, request: int) -> tuple[int, int]:
        """The turn in the request's process."""
        return self.process(request).pick()[0], NEXT


class SmoothLeast(SmoothTurns):
    """Smooth weighted round robin among those to which the same process has sent least, by weight."""

    def pick(self, request: int) -> tuple[int, int]:
        """The turn among the least loaded."""
        process = self.process(request)
        slot, tied = process.pick()
        process.load(slot, 1)
        return slot, IN_TURN if tied else SHORTEST

    def left(self, slot: int, requests: list[int]) -> None:
        """Each is taken off the count of its process."""
        for request in requests:
            self.process(request).load(slot, -1)
