"""How the machines and replicas of a pool start: how long each step takes, one after the other."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from simulator.model import spread_out
from simulator.start import FETCHED

if TYPE_CHECKING:
    from simulator.parts import CasePool
    from simulator.run.machines import Machine
    from simulator.start import Step
    from simulator.streams import Draws

_TRIES = 100  # by then whoever waits has waited for a day
Steps = tuple[tuple[str, int], ...]
"""What a replica went through on a machine that had started, by name, with nanoseconds."""


def loaded(time: int) -> Steps:
    """A replica of which nothing is known but how long it loads."""
    return (("load", time),)


class Starting:
    """The starts of one pool during one replication: each machine and each replica has numbers of its own."""

    def __init__(self, case: CasePool, draws: Draws) -> None:
        self.case, self.draws = case, draws
        self._plain = loaded(case.load_time)
        self._replicas = 0

    def machine(self, number: int) -> int:
        """Nanoseconds from the launch of a machine until replicas can begin on it.

        Where a cluster autoscaler gives one up, the time of the next adds to what was waited for it.
        """
        rules = None if self.case.supply is None else self.case.supply.rules.cluster_autoscaler
        time, lost = self._try(number, 0), 0
        if rules is None:
            return time
        for again in range(1, _TRIES):
            if time <= rules.give_up:
                break
            lost += rules.give_up
            time = self._try(number, again)
        return lost + time

    def _try(self, number: int, again: int) -> int:
        """What a machine would take to start, and each that is asked for in its place."""
        case, start, entity = self.case, self.case.start, f"/{again}" if again else ""
        if start is not None:
            return 0 if start.provision is None else self._time(start.provision, f"provision{entity}", number)
        uniform = self.draws.uniform("cold start", case.name + entity, number, 1)
        return int(spread_out(case.cold_start, case.cold_start_spread, uniform)[0])

    def replica(self, machine: Machine, begin: int) -> Steps:
        """The steps of a replica that begins on a machine which has started by then."""
        start, number = self.case.start, self._replicas
        self._replicas += 1
        if start is None:
            return self._plain
        container, marks = begin, [("", begin)]
        for name in FETCHED:
            step: Step | None = getattr(start, name)
            if step is not None:
                marks.append((name.replace("_", "-"), self._fetched(step, name, number, machine, marks[-1][1])))
            if name == "image":
                container = marks[-1][1]
        if start.probe is not None:
            marks.append(("probe", start.probe.ready(container, marks[-1][1])))
        if start.endpoint is not None:
            marks.append(("endpoint", marks[-1][1] + self._time(start.endpoint, "endpoint", number)))
        return tuple((name, end - before) for (_, before), (name, end) in pairwise(marks))

    def _fetched(self, step: Step, name: str, number: int, machine: Machine, begin: int) -> int:
        """When a step ends; where the machine keeps what it brings, all wait for who brings it first."""
        if step.kept and name in machine.kept:
            return max(begin, machine.kept[name])
        end = begin + self._time(step, name, number)
        if step.kept:
            machine.kept[name] = end
        return end

    def _time(self, step: Step, name: str, number: int) -> int:
        return step.time(self.draws, f"{self.case.name}/{name}", number)
