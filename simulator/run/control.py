"""The control plane of a pool: looks once a period, asks the autoscaler, does what it says."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from typing import Any

import simpy

from simulator.autoscaling import Observation, Pod, Sample
from simulator.run.lives import ScalingRecord
from simulator.run.pool import LONG_AGO, PoolRun
from simulator.run.replica import Replica
from simulator.run.sensors import Known, Life, Meter, Sensor


def scraping(pool: PoolRun, period: int, delay: int) -> Generator[simpy.Event, Any, Any]:
    """A SimPy process: reads the loads of a pool once a period; its balancer knows them `delay` later."""
    while True:
        yield pool.clock.timeout(period)
        outstanding = list(pool.view.outstanding)
        waiting = [pool.view.waiting(slot) for slot in range(len(outstanding))]
        caches = [replica.line.cache(int(pool.clock.now)) for replica in pool.replicas]
        arrival = pool.clock.timeout(delay, (outstanding, waiting, caches))
        arrival.callbacks.append(lambda event: _learn(pool, *event.value))


def _learn(pool: PoolRun, outstanding: list[int], waiting: list[int], caches: list[float]) -> None:
    """The balancer comes to know loads that were read by slot; slots that came since are not among them."""
    pool.seen.outstanding[: len(outstanding)] = outstanding
    known, held = dict(enumerate(waiting)), dict(enumerate(caches))
    pool.seen.waiting = lambda slot: known.get(slot, 0)
    pool.seen.cache = lambda slot: held.get(slot, 0.0)
    pool.seen.read = int(pool.clock.now)
    pool.picker.regrouped()


class Control:
    """The autoscaler of one pool during one replication."""

    def __init__(self, pool: PoolRun) -> None:
        self.pool, self.policy = pool, pool.case.autoscaler
        self.state = self.policy.initial()
        self.looked = self.quiet = self.turns = 0
        """When it was asked last, until when it need not be asked unless something has changed, and changes by then."""
        reads = self.policy.reads()
        meter = Meter(pool, reads.values()) if reads else None  # one that nobody reads would keep all batches for later
        self.sensors = {name: Sensor(meter, metric) for name, metric in reads.items() if meter is not None}

    def begin(self, period: int) -> None:
        """Starts the sensors and the autoscaler, which sees what they read at the same moment."""
        clock = self.pool.clock
        for sensor in self.sensors.values():
            clock.process(sensor.process())
        clock.process(self._process(period))
        if self.policy.knocked:
            self.pool.knock = self._knock

    def restart(self) -> None:
        """The controller forgets what it kept in memory."""
        self.state, self.quiet = self.policy.restarted(self.state), 0

    def silence(self, names: Collection[str] | None, until: int) -> None:
        """Metrics of these names, or all, cannot be read until then."""
        for name, sensor in self.sensors.items():
            if names is None or name in names:
                sensor.silence(until)

    def _process(self, period: int) -> Generator[simpy.Event, Any, Any]:
        while True:
            yield self.pool.clock.timeout(period)
            yield self.pool.clock.timeout(0)  # after what sensors read at this moment, whenever they were set
            now = int(self.pool.clock.now)
            if now >= self.quiet or self._stirred(now):
                self._decide(now)

    def _stirred(self, now: int) -> bool:
        """Whether anything that it sees has changed since it was asked last."""
        if self.turns != self.pool.fleet.turns:
            return True
        return any(sensor.stirs(now, self.looked) for sensor in self.sensors.values())

    def _knock(self, now: int) -> None:
        """A request is the first to find no replica ready: what it is seen by tells so at once."""
        event = self.pool.clock.at(now).timeout(0)
        event.callbacks.append(lambda _: self._answer())

    def _answer(self) -> None:
        now = int(self.pool.clock.now)
        for sensor in self.sensors.values():
            sensor.scrape(now, now, anew=True)  # at the moment of a reading, too, the request came after it
        self._decide(now)

    def _decide(self, now: int) -> None:
        fleet, records = self.pool.fleet, self.pool.log.scaling
        seen = self._observe(now)
        found = self.policy.decide(self.state, seen, now)
        self.state, self.looked, self.turns = found.state, now, fleet.turns
        self.quiet = found.until if found.desired == seen.desired else 0
        told = (found.reason, seen.desired, seen.current, found.proposal, found.limits)
        read = max((one.time for sensor in self.sensors.values() if (one := sensor.latest) is not None), default=None)
        record = ScalingRecord(now, found.desired, seen.ready, *told, tuple(seen.signals.items()), read)
        if not records or records[-1][1:-1] != record[1:-1]:  # each stands until the next
            records.append(record)
        if found.desired != fleet.desired:
            fleet.scale(found.desired, now)

    def _observe(self, now: int) -> Observation:
        fleet = self.pool.fleet
        news = {name: sensor.look(now) for name, sensor in self.sensors.items()}
        latest = {name: sensor.latest for name, sensor in self.sensors.items()}
        return Observation(
            desired=fleet.desired,
            current=max(fleet.staying, fleet.desired),
            ready=len(self.pool.view.ready),
            signals={name: one.value for name, one in latest.items() if one is not None and one.value is not None},
            series={name: _told(found) for name, found in news.items()},
            failed=frozenset(name for name, sensor in self.sensors.items() if now < sensor.silent),
            pods=tuple(self._pods(now, news)) if self.policy.sees_pods else (),
        )

    def _pods(self, now: int, news: Mapping[str, list[Known]]) -> list[Pod]:
        """The replicas that are there, then those that wait for a machine."""
        fleet = self.pool.fleet
        told = news if self.policy.sees_series else {}
        found = [self._pod(one, now, told) for one in fleet.replicas if one.record.stopped is None]
        missing = fleet.desired - fleet.staying
        return found + [Pod(f"{self.pool.case.name}-pending-{number}", "Pending") for number in range(missing)]

    def _pod(self, replica: Replica, now: int, news: Mapping[str, list[Known]]) -> Pod:
        record, life = replica.record, (replica.slot, replica.life)
        name = f"{self.pool.case.name}-{replica.slot}-{replica.life}"
        started = max(record.launched, replica.machine.up)
        if record.container(replica.machine.up) > now:
            return Pod(name, "Pending")
        if record.ready is None:
            return Pod(name, started=started, ready=False, ready_changed=started)
        samples = {
            metric: Sample(known.time, known.replicas[life])
            for metric, sensor in self.sensors.items()
            if (known := sensor.latest) is not None and life in known.replicas
        }
        since = record.ready
        if not record.launched:  # those of the beginning have been there for long
            started = since = LONG_AGO
        series = {metric: _told(found, life) for metric, found in news.items()}
        return Pod(name, "Running", started, True, since, record.drained is not None, samples, series)


def _told(found: list[Known], life: Life | None = None) -> tuple[Sample, ...]:
    """What has become known of the pool, or of one replica of it."""
    if life is not None:
        return tuple(Sample(one.time, one.replicas[life]) for one in found if life in one.replicas)
    return tuple(Sample(one.time, one.value) for one in found if one.value is not None)
