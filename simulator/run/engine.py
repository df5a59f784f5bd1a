"""One replication of a case: the tape, the clock and the pools put together.

SimPy owns the clock and the control plane. Arrivals come from the tape in ascending order and are merged with the
events of the clock without entering its heap; see `simulator.run.clock` for the order of simultaneous events.
"""

from __future__ import annotations

from collections.abc import Callable

from simulator.autoscaling import PerRequest
from simulator.case import Case
from simulator.limits import Admission
from simulator.run.clients import Clients
from simulator.run.clock import Clock
from simulator.run.closing import close
from simulator.run.control import Control, scraping
from simulator.run.flow import Flow
from simulator.run.patience import Patience
from simulator.run.per_request import PerRequestPool
from simulator.run.pool import PoolRun
from simulator.run.recording import Replication
from simulator.run.supplies import SupplyRun
from simulator.run.tape import Tape

_CHECK_EVERY = 256  # looking whether all have left costs a look at every replica


def simulate(case: Case, replication: int) -> Replication:
    """Runs one replication: requests arrive for `case.duration`, and are followed until the last has left."""
    run = Run(case, replication)
    run.through()
    return close(case, replication, run.tape, [pool.log for pool in run.pools], int(run.clock.now))


class Run:
    """The clock, the tape and the pools of one replication."""

    def __init__(self, case: Case, replication: int) -> None:
        self.case = case
        self.clock = clock = Clock()
        self.tape = tape = Tape(case, replication)
        self.pools = pools = _pools(case, clock, tape)
        self.flow = flow = Flow(clock, tape, case, pools)
        if tape.answers_back:
            flow.clients = Clients(clock, tape, case, flow)
        for supply in {pool.case.supply.name: pool.case.supply for pool in pools if pool.case.supply}.values():
            SupplyRun(supply, [pool for pool in pools if pool.case.supply == supply])
        for pool in pools:
            pool.join(flow)
            if (period := pool.case.autoscaler.period()) is not None:
                pool.fleet.control = Control(pool)
                pool.fleet.control.begin(period)
            if (reading := pool.case.balancer.scraping()) is not None:
                clock.process(scraping(pool, *reading))

    def through(self) -> None:
        """Lets every request come, and runs until the last has left."""
        clock, clients = self.clock, self.flow.clients
        _let_arrive(clock, self.tape, self.pools, self.flow)
        clock.run_until(self.case.duration)
        while clock.agenda and (
            self.flow.travelling
            or (clients is not None and clients.coming)
            or any(pool.present() > pool.stranded() for pool in self.pools)
        ):
            for _ in range(min(_CHECK_EVERY, len(clock.agenda))):
                if clock.agenda:  # a death may have taken much off it
                    clock.step()


def _pools(case: Case, clock: Clock, tape: Tape) -> list[PoolRun]:
    patience = None
    if case.abandons():
        timeouts = [item.timeout if item.cancels else None for item in case.workloads]
        patience = Patience(tape, timeouts)
    pools = [
        (PerRequestPool if isinstance(pool.autoscaler, PerRequest) else PoolRun)(clock, number, tape, patience)
        for number, pool in enumerate(case.pools)
    ]
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
    elif len(case.workloads) == len(case.stages) == 1 and not case.stages[0].way and not tape.chooses:
        arrive = pools[0].entrance()
    else:
        arrive = flow.enter
    for times, rows in tape.blocks():
        for pool in pools:
            pool.log.flush()
        clock.run_through(times, rows, arrive)
