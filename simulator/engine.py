"""One replication of a case: the tape, the clock and the pools put together.

SimPy owns the clock and the control plane. Arrivals come from the tape in ascending order and are merged with the
events of the clock without entering its heap; see `simulator.clock` for the order of simultaneous events.
"""

from __future__ import annotations

from itertools import pairwise

from simulator.case import Case
from simulator.clock import Clock
from simulator.control import Control
from simulator.pool import Patience, PoolRun
from simulator.recording import Replication, close
from simulator.tape import Tape

_CHECK_EVERY = 256  # looking whether all have left costs a look at every replica


def simulate(case: Case, replication: int) -> Replication:
    """Runs one replication: requests arrive for `case.duration`, and are followed until the last has left."""
    clock, tape = Clock(), Tape(case, replication)
    patience = None
    if any(workload.timeout is not None for workload in case.workloads):
        patience = Patience(tape.arrived, tape.workload, [item.timeout for item in case.workloads])
    entries = {workload.pools[0] for workload in case.workloads}
    pools = [
        PoolRun(clock, number, pool, tape, patience, entry=number in entries) for number, pool in enumerate(case.pools)
    ]
    for workload in case.workloads:
        for here, there in pairwise(workload.pools):
            pools[here].next = pools[there]
    for pool in pools:
        if (period := pool.case.autoscaler.period()) is not None:
            clock.process(Control(pool).process(period))
    _let_arrive(clock, tape, pools, [pools[workload.pools[0]] for workload in case.workloads])
    clock.run_until(case.duration)
    while clock.agenda and any(pool.present() > pool.stranded() for pool in pools):
        for _ in range(min(_CHECK_EVERY, len(clock.agenda))):
            clock.step()
    return close(case, replication, tape, [pool.log for pool in pools], int(clock.now))


def _let_arrive(clock: Clock, tape: Tape, pools: list[PoolRun], first: list[PoolRun]) -> None:
    """Lets every request of the tape arrive at the first pool of its workload."""

    def by_workload(request: int, now: int) -> None:
        first[tape.workload[request]].arrive(request, now)

    arrive = first[0].arrive if len(first) == 1 else by_workload
    number = 0
    for times in tape.blocks():
        for pool in pools:
            pool.make_room(len(times))
        clock.run_through(times, arrive, number)
        number += len(times)
