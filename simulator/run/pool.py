"""A pool at work: what is let in, where the balancer sends it, and who hears of what became of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from simulator.dispatch import Picker, View
from simulator.limits import Admission
from simulator.quantities import SECOND
from simulator.run.clients import Clients
from simulator.run.clock import Clock
from simulator.run.fleet import Fleet
from simulator.run.line import Instance, Line
from simulator.run.patience import Patience
from simulator.run.recording import Log
from simulator.run.replica import line_of
from simulator.run.solo import SoloLine, SoloLog
from simulator.run.tape import Tape
from simulator.run.weighing import cost_of, show_tokens

if TYPE_CHECKING:
    from simulator.run.flow import Flow

LONG_AGO = -(10**18)
_LONG = 3600 * SECOND  # longer than what autoscalers remember


class PoolRun:
    """One pool during one replication."""

    __slots__ = (
        "admission",
        "agenda",
        "alone",
        "case",
        "changed",
        "clients",
        "clock",
        "costs",
        "fleet",
        "flow",
        "gathered",
        "held",
        "instances",
        "knock",
        "left",
        "log",
        "number",
        "patience",
        "picker",
        "replicas",
        "routed",
        "seats",
        "seen",
        "shared",
        "stages",
        "taken",
        "tape",
        "told",
        "view",
    )

    def __init__(self, clock: Clock, number: int, tape: Tape, patience: Patience | None) -> None:
        case = tape.case
        self.clock, self.agenda, self.number, self.case = clock, clock.agenda, number, case.pools[number]
        self.tape, self.patience = tape, patience
        self.routed = tape.routed
        self.stages = case.stages_of(number)
        self.seats = case.seats(number)
        self.alone = case.alone(number)
        self.log = SoloLog(tape, self.seats) if self.alone else Log()
        self.costs = {} if self.alone else {stage: cost_of(case, tape, stage) for stage in self.stages}
        """By stage: the work of a batch, by its visits; where each is served alone it stands on the tape."""
        self.admission: Admission | None = None
        """The limits at work, if there are any."""
        self.clients: Clients | None = None
        """Who must hear of refusals, if anybody."""
        self.flow: Flow | None = None
        """Who must hear of visits that have ended, if anybody."""
        self.knock: Callable[[int], None] | None = None
        """Who must hear when a request is the first to find no replica ready."""
        self.told = True
        """Whether anybody must hear of a finished batch: a balancer, the flow, limits."""
        self.held: deque[int] = deque()
        """Visits that wait because no replica is ready."""
        self.gathered: list[Line] | None = None
        """Lines to which those held are being sent: what makes batches of them waits until all are there."""
        self.fleet = Fleet(self)
        self.replicas = self.fleet.replicas
        """By slot."""
        self.view = View(tape.routing[: self.case.balancer.uniforms()], waiting=self._waiting_at, work=self.work_alone)
        self.view.zones, self.view.zone, self.view.since = len(self.case.zones), self._zone, self._since
        self.seen = self.view
        """The view as the balancer sees it: the same, or with the loads of the last reading."""
        if self.case.balancer.scraping():
            self.seen = View(self.view.draws, self.view.ready, zones=self.view.zones, zone=self.view.zone)
        show_tokens(self.seen, tape, number)
        self.instances: list[Instance] = []
        """By number: those of slot 0, then those of slot 1, and so on."""
        self.shared = line_of(self, -1) if self.case.balancer.shared_queue else None
        self.picker = Picker(self.view)
        self.fleet.begin()
        self.picker = picker = self.case.balancer.start(self.seen)
        cls, at_once = type(picker), self.seen is self.view
        self.changed = picker.changed if at_once and cls.changed is not Picker.changed else None
        self.taken = picker.taken if at_once and cls.taken is not Picker.taken else None
        self.left = picker.left if at_once and cls.left is not Picker.left else None

    def join(self, flow: Flow) -> None:
        """The pool becomes part of the whole."""
        self.clients = flow.clients
        if flow.clients is not None or any(flow.next[stage] for stage in self.stages):
            self.flow = flow
        self.told = self.shared is None or self.flow is not None or self.admission is not None

    def entrance(self) -> Callable[[int, int], None]:
        """What visits that come to this pool only are handed to: the shortest way that does the same."""
        if self.admission is not None:
            return self.arrive
        if self.shared is None and type(self).route is PoolRun.route:
            return self._sender()
        always = self.case.autoscaler.period() is None and not self.case.faults
        return self.shared.arrive if always and isinstance(self.shared, SoloLine) else self.route

    def _sender(self) -> Callable[[int, int], None]:
        """What `route` does where there are no limits, with everything at hand: most requests come this way."""
        ready, outstanding, lines, routed = self.view.ready, self.view.outstanding, self.fleet.lines, self.routed
        seen, pick, changed = self.seen, self.picker.pick, self.changed

        def send(request: int, now: int) -> None:
            if not ready:
                self.hold(request, now)
                return
            seen.now = now
            slot, routed[request] = pick(request)
            outstanding[slot] += 1
            line = lines[slot]
            line.waiting.append(request)
            if changed is not None:
                changed(slot)
            if line.idle:
                line.consider(now)

        return send

    def arrive(self, request: int, now: int) -> None:
        """A request reaches the pool."""
        if self.admission is None or self.admission.admits(request, now):
            self.route(request, now)
        else:
            self.refuse(request, now)

    def route(self, request: int, now: int) -> None:
        """Sends a request that was let in to a line."""
        view, line, admission = self.view, self.shared, self.admission
        if not view.ready:
            if admission is None or admission.may_wait(request, len(self.held)):
                self.hold(request, now)
            else:
                self._turn_away(request, now)
            return
        if line is None:
            self.seen.now = now
            slot, self.routed[request] = self.picker.pick(request)
            view.outstanding[slot] += 1
            line = self.replicas[slot].line
            if admission is not None and not self._has_room(request, line, now):
                self.relieve(slot, [request])
                return
            line.waiting.append(request)
            if self.changed is not None:
                self.changed(slot)
        elif admission is not None and not self._has_room(request, line, now):
            return
        else:
            line.waiting.append(request)
        if line.idle and self.gathered is not None and line.gathers:
            self.gathered.append(line)
        elif line.idle:
            line.consider(now)

    def hold(self, request: int, now: int) -> None:
        """A request waits until a replica is ready."""
        self.held.append(request)
        if self.knock is not None and len(self.held) == 1:
            self.knock(now)

    def welcome(self, slot: int, now: int) -> None:
        """A replica is ready: those who found none are sent on."""
        held, self.held = self.held, deque()
        lines = self.gathered = list[Line]()
        for request in held:
            self.log.held.append((request, now))
            self.route(request, now)
        self.gathered = None
        for line in lines:
            line.consider(now)

    def _has_room(self, request: int, line: Line, now: int) -> bool:
        """Whether a request may join a line; otherwise it is turned away."""
        assert self.admission is not None
        if line.serves_at_once() or self.admission.may_wait(request, line.present()):
            return True
        self._turn_away(request, now)
        return False

    def _turn_away(self, request: int, now: int) -> None:
        """No place is left in the queue for a request that was let in."""
        assert self.admission is not None
        self.admission.inside -= 1
        self.refuse(request, now)

    def refuse(self, request: int, now: int) -> None:
        """A visit is not served; its client hears of it now."""
        self.log.rejected.append((request, now))
        if self.clients is not None:
            self.clients.failed(request, now)

    def done(self, requests: list[int], slot: int, place: int, now: int) -> None:
        """A slot (-1: it takes from the shared queue) has served these; `place` breaks ties of what follows."""
        if slot >= 0:  # `relieve`, written out, as every batch comes here
            self.view.outstanding[slot] -= len(requests)
            if self.left is not None:
                self.left(slot, requests)
            if self.changed is not None:
                self.changed(slot)
        if self.admission is not None:
            self.admission.inside -= len(requests)
        if self.flow is not None:
            self.flow.done(requests, place, now)

    def lose(self, request: int, slot: int) -> None:
        """A request that was sent to a slot (or waits in the shared queue: -1) is not served."""
        if slot >= 0:
            self.relieve(slot, [request])
        if self.admission is not None:
            self.admission.inside -= 1

    def dismiss(self, slot: int) -> None:
        """A replica takes no more requests."""
        self.view.ready.remove(slot)
        self.picker.regrouped()

    def lost(self, running: list[int], waiting: list[int], slot: int, now: int) -> None:
        """A replica has died with what it ran and with what waited for it alone."""
        self.log.dropped += waiting
        visits = running + waiting
        self.log.lost += [(visit, now) for visit in visits]
        if self.shared is None and visits:
            self.relieve(slot, visits)
        if self.admission is not None:
            self.admission.inside -= len(visits)
        if self.clients is not None:
            for visit in visits:
                self.clients.failed(visit, now)

    def more_room(self, now: int) -> None:
        """Replicas that could not be launched before may be launched now."""
        self.fleet.fill(now)

    def relieve(self, slot: int, requests: list[int]) -> None:
        """Requests have left a slot."""
        self.view.outstanding[slot] -= len(requests)
        if self.left is not None:
            self.left(slot, requests)
        if self.changed is not None:
            self.changed(slot)

    def _waiting_at(self, slot: int) -> int:
        return self.replicas[slot].line.present()

    def _zone(self, slot: int) -> int:
        return self.replicas[slot].machine.record.zone

    def _since(self, slot: int) -> int:
        record = self.replicas[slot].record
        return record.ready if record.launched and record.ready is not None else LONG_AGO

    def work_alone(self, request: int) -> int:
        """Nanoseconds that a request takes if it is served by itself."""
        tape = self.tape
        return tape.works[request] if self.alone else self.costs[tape.stage[request]]([request])

    def waiting(self) -> int:
        """Requests that no batch has taken yet."""
        lines = [self.shared] if self.shared else self.fleet.lines
        return len(self.held) + sum(line.present() for line in lines)

    def present(self) -> int:
        """Requests in the pool, waiting or in service."""
        return self.waiting() + sum(replica.serving() for replica in self.replicas)

    def stranded(self) -> int:
        """Requests that will wait for ever unless more come: for a full batch, or for a replica that nobody wants."""
        if self.fleet.forsaken() and self.clock.now > self.tape.case.duration + _LONG:
            return self.present()
        lines = [self.shared] if self.shared else [replica.line for replica in self.replicas]
        return sum(line.present() for line in lines if line.stranded)
