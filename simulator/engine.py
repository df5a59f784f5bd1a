"""One replication of a case: the tape, the clock and the pools put together.

SimPy owns the clock and the control plane. Arrivals come from the tape in ascending order and are merged with the
events of the clock without entering its heap; see `simulator.clock` for the order of simultaneous events.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from simulator.case import Case
from simulator.clients import Clients
from simulator.clock import Clock
from simulator.control import Control, scraping
from simulator.limits import Admission
from simulator.pool import Patience, PoolRun
from simulator.recording import Replication, close
from simulator.tape import Tape

_CHECK_EVERY = 256  # looking whether all have left costs a look at every replica


def simulate(case: Case, replication: int) -> Replication:
    """Runs one replication: requests arrive for `case.duration`, and are followed until the last has left."""
    clock, tape = Clock(), Tape(case, replication)
    pools = _pools(case, clock, tape)
    clients = None
    if any(workload.answers_back for workload in case.workloads):
        clients = Clients(clock, tape, case, pools)
        for pool in pools:
            pool.clients, pool.listening = clients, True
    for pool in pools:
        pool.told = pool.shared is None or pool.listening or pool.next is not None
        if (period := pool.case.autoscaler.period()) is not None:
            clock.process(Control(pool).process(period))
        if (reading := pool.case.balancer.scraping()) is not None:
            clock.process(scraping(pool, *reading))
    _let_arrive(clock, tape, pools, [pools[workload.pools[0]] for workload in case.workloads], clients)
    clock.run_until(case.duration)
    while clock.agenda and (
        (clients is not None and clients.coming) or any(pool.present() > pool.stranded() for pool in pools)
    ):
        for _ in range(min(_CHECK_EVERY, len(clock.agenda))):
            clock.step()
    origin = None if clients is None else clients.origin
    return close(case, replication, tape, [pool.log for pool in pools], int(clock.now), origin)


def _pools(case: Case, clock: Clock, tape: Tape) -> list[PoolRun]:
    patience = None
    if case.abandons():
        timeouts = [item.timeout if item.cancels else None for item in case.workloads]
        patience = Patience(tape, timeouts)
    entries = {workload.pools[0] for workload in case.workloads}
    pools = [
        PoolRun(clock, number, pool, tape, patience, entry=number in entries) for number, pool in enumerate(case.pools)
    ]
    for workload in case.workloads:
        for here, there in pairwise(workload.pools):
            pools[here].next = pools[there]
    for pool in pools:
        if pool.case.limits is not None:
            names = [workload.name for workload in case.workloads]
            pool.admission, pool.listening = Admission(pool.case.limits, names, tape.workload), True
    return pools


def _let_arrive(clock: Clock, tape: Tape, pools: list[PoolRun], first: list[PoolRun], clients: Clients | None) -> None:
    """Lets every request of the tape arrive at the first pool of its workload."""

    def by_workload(request: int, now: int) -> None:
        first[tape.workload[request]].arrive(request, now)

    arrive: Callable[[int, int], None]
    if clients is not None:
        arrive = clients.arrive
    elif len(first) == 1:
        arrive = first[0].arrive if first[0].admission is not None else first[0].route
    else:
        arrive = by_workload
    for times in tape.blocks():
        for pool in pools:
            pool.make_room(len(times))
        if clients is not None:
            clients.make_room(len(times))
        clock.run_through(times, arrive, len(tape.arrived) - len(times))
