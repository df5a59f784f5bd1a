"""One replication of a case: the tape, the clock and the pools put together.

SimPy owns the clock and the control plane. Arrivals come from the tape in ascending order and are merged with the
events of the clock without entering its heap; see `simulator.clock` for the order of simultaneous events.
"""

from __future__ import annotations

from collections.abc import Callable

from simulator.case import Case
from simulator.clients import Clients
from simulator.clock import Clock
from simulator.closing import close
from simulator.control import Control, scraping
from simulator.flow import Flow
from simulator.limits import Admission
from simulator.pool import Patience, PoolRun
from simulator.recording import Replication
from simulator.tape import Tape

_CHECK_EVERY = 256  # looking whether all have left costs a look at every replica


def simulate(case: Case, replication: int) -> Replication:
    """Runs one replication: requests arrive for `case.duration`, and are followed until the last has left."""
    clock, tape = Clock(), Tape(case, replication)
    pools = _pools(case, clock, tape)
    flow = Flow(clock, tape, case, pools)
    if any(workload.answers_back for workload in case.workloads):
        flow.clients = Clients(clock, tape, case, flow)
    for pool in pools:
        pool.join(flow)
        if (period := pool.case.autoscaler.period()) is not None:
            clock.process(Control(pool).process(period))
        if (reading := pool.case.balancer.scraping()) is not None:
            clock.process(scraping(pool, *reading))
    _let_arrive(clock, tape, pools, flow)
    clock.run_until(case.duration)
    clients = flow.clients
    while clock.agenda and (
        flow.travelling
        or (clients is not None and clients.coming)
        or any(pool.present() > pool.stranded() for pool in pools)
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
    pools = [PoolRun(clock, number, tape, patience) for number in range(len(case.pools))]
    for pool in pools:
        if pool.case.limits is not None:
            names = [workload.name for workload in case.workloads]
            pool.admission = Admission(pool.case.limits, names, tape.workload)
    return pools


def _let_arrive(clock: Clock, tape: Tape, pools: list[PoolRun], flow: Flow) -> None:
    """Lets every visit of the tape come to its pool."""
    case = tape.case
    arrive: Callable[[int, int], None]
    if flow.clients is not None:
        arrive = flow.clients.send
    elif len(case.workloads) == len(case.stages) == 1 and not case.stages[0].way:
        arrive = pools[0].entrance()
    else:
        arrive = flow.enter
    for times, rows in tape.blocks():
        for pool in pools:
            pool.log.flush()
        if flow.clients is not None:
            flow.clients.make_room()
        clock.run_through(times, rows, arrive)
