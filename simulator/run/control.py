"""The control plane of a pool: looks once a period, asks the autoscaler, does what it says."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import simpy

from simulator.autoscaling import Observation
from simulator.quantities import SECOND
from simulator.run.pool import PoolRun
from simulator.run.recording import END, ScalingRecord, busy_time


def scraping(pool: PoolRun, period: int, delay: int) -> Generator[simpy.Event, Any, Any]:
    """A SimPy process: reads the loads of a pool once a period; its balancer knows them `delay` later."""
    while True:
        yield pool.clock.timeout(period)
        outstanding = list(pool.view.outstanding)
        waiting = [pool.view.waiting(slot) for slot in range(len(outstanding))]
        arrival = pool.clock.timeout(delay, (outstanding, waiting))
        arrival.callbacks.append(lambda event: pool.learn(*event.value))


class Control:
    """The autoscaler of one pool during one replication."""

    def __init__(self, pool: PoolRun) -> None:
        self.pool = pool
        self._last = 0
        self._read = 0
        """Number of the first batch that must be read again: those before had ended."""
        self._worked = 0
        """Nanoseconds in which devices that instances share had something to do, until the last look."""
        self._arrivals = 0
        self._serving = 0.0
        pool.log.since = 0

    def process(self, period: int) -> Generator[simpy.Event, Any, Any]:
        """A SimPy process."""
        pool, policy = self.pool, self.pool.case.autoscaler
        state = policy.initial()
        while True:
            yield pool.clock.timeout(period)
            now = int(pool.clock.now)
            seen = self._observe(now)
            decision = policy.decide(state, seen, now)
            state = decision.state
            pool.log.scaling.append(ScalingRecord(now, decision.desired, seen.ready, decision.reason))
            if decision.desired != pool.fleet.desired:
                pool.fleet.scale(decision.desired, now)

    def _observe(self, now: int) -> Observation:
        pool = self.pool
        present = pool.present()
        arrivals = pool.log.ended() + pool.waiting()
        serving = pool.fleet.ready_time(now) * pool.tape.case.devices(pool.number)
        busy, offered = self._busy(now), serving - self._serving
        rate = (arrivals - self._arrivals) * SECOND / (now - self._last)
        self._last, self._arrivals, self._serving = now, arrivals, serving
        return Observation(
            desired=pool.fleet.desired,
            ready=len(pool.view.ready),
            utilisation=busy / offered if offered else None,
            arrival_rate=rate,
            outstanding=present,
        )

    def _busy(self, now: int) -> int:
        """Nanoseconds of service since the last look, over all replicas."""
        pool = self.pool
        if pool.case.sharing.common:
            worked = sum(replica.device.worked(now) for replica in pool.replicas if replica.device is not None)
            busy, self._worked = worked - self._worked, worked
            return busy
        rows = pool.log.batch_rows(self._read)
        running = rows[:, END] > now
        self._read = self._read + int(running.argmax()) if running.any() else pool.log.batch_count()
        pool.log.since = now
        return busy_time(rows, self._last, now)
