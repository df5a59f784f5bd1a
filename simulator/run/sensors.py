"""What is measured of a pool while the clock runs, and when it becomes known."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import simpy

from simulator.autoscaling import Metric
from simulator.batching import LlmEngine
from simulator.quantities import SECOND
from simulator.run.finished import Finished
from simulator.run.pool import PoolRun
from simulator.run.recording import END, SIZE, SLOT, START
from simulator.run.stepping import Engine
from simulator.streams import Integers

Life = tuple[int, int]
"""A slot, and how many replicas had it before."""


class Told(NamedTuple):
    """What a ready replica tells of itself; the first three since it is ready."""

    ready: int
    """Nanoseconds for which it has been."""
    busy: int
    """Nanoseconds of service, of all that can run at a time."""
    finished: int
    """Visits served."""
    waiting: int
    running: int
    cache: float = 0.0
    """Share of an engine's KV cache that is in use."""


class Reading(NamedTuple):
    """A pool at one moment; what is counted is counted since the beginning."""

    time: int
    arrived: int
    serving: int
    """Nanoseconds for which replicas were ready, times what each can run at a time."""
    busy: int
    queue: int
    held: int
    """Of the queue: those that no replica was given yet."""
    outstanding: int
    replicas: dict[Life, Told]
    """Those that are ready."""


class Meter:
    """Reads a pool; what batches have done is added up from one reading to the next.

    Batches and single replicas are left out where no metric tells of them: some autoscalers read every second.
    """

    def __init__(self, pool: PoolRun, metrics: Iterable[Metric]) -> None:
        self.pool, self.devices = pool, pool.tape.case.devices(pool.number)
        self.closely = any(
            metric.of_replicas or metric.over == "mean" or metric.signal == "latency" for metric in metrics
        )
        self._last: Reading | None = None
        self._late = isinstance(pool.case.batching, LlmEngine)
        """Whether visits are written down only when they have been served, and not when they begin to be."""
        self._first = self._count = 0
        """Number of the first batch that must be read again, those before had ended; and of batches read so far."""
        self._whole = 0
        self._devices: Integers = np.empty(0, dtype=np.int64)
        """By slot: as far as what instances share has been read."""
        self._busy: dict[Life, int] = {}
        self._finished: dict[Life, int] = {}
        self.finished: Finished | None = None
        """How long requests took, if a metric tells it."""
        if self.closely:
            pool.log.since = 0

    def follow(self, span: int) -> Finished:
        """Keeps how long requests took that ended in the last so many nanoseconds."""
        self.finished = self.finished or Finished(self.pool)
        self.finished.keep(span)
        return self.finished

    def read(self, now: int, anew: bool = False) -> Reading:
        """The pool now; the same reading again for whoever asks at the same moment, unless it asks for a new one."""
        if anew or self._last is None or self._last.time != now:
            self._last = self._read(now) if self.closely else self._glance(now)
        return self._last

    def _glance(self, now: int) -> Reading:
        pool = self.pool
        queue, held = pool.waiting(), len(pool.held) + (pool.shared.present() if pool.shared else 0)
        serving = sum(replica.serving() for replica in pool.replicas)
        arrived = pool.log.ended() + queue
        if self._late:  # what is being sent to its clients, or to the next engine, is written down
            engines = [one for replica in pool.replicas for one in replica.instances if isinstance(one, Engine)]
            arrived += sum(len(engine.jobs) for engine in engines)
        return Reading(now, arrived, 0, 0, queue, held, queue + serving, {})

    def _read(self, now: int) -> Reading:
        pool = self.pool
        ready = [pool.replicas[slot] for slot in pool.view.ready]
        lives = [(one.slot, one.life) for one in ready]
        whole, busy, finished = self._served(now)
        if pool.case.common:
            busy, whole = self._worked(now)
        self._whole += whole
        self._busy = {life: self._busy.get(life, 0) + int(busy[life[0]]) for life in lives}
        self._finished = {life: self._finished.get(life, 0) + int(finished[life[0]]) for life in lives}
        shared = pool.shared is not None
        told = {
            life: Told(
                now - (one.record.ready or 0),
                self._busy[life],
                self._finished[life],
                0 if shared else one.line.present(),
                one.serving(),
                one.line.cache(now),
            )
            for life, one in zip(lives, ready, strict=True)
        }
        serving = pool.fleet.ready_time(now) * self.devices
        return self._glance(now)._replace(serving=serving, busy=self._whole, replicas=told)

    def _worked(self, now: int) -> tuple[Integers, int]:
        """Since the last reading: nanoseconds in which shared devices had something to do, by slot and in all."""
        uses = [replica.use() for replica in self.pool.replicas]
        worked = np.array([0 if use is None else use.worked(now) for use in uses], dtype=np.int64)
        before = np.concatenate([self._devices, np.zeros(len(worked) - len(self._devices), dtype=np.int64)])
        self._devices = worked
        return worked - before, int((worked - before).sum())

    def _served(self, now: int) -> tuple[int, Integers, Integers]:
        """Since the last reading: nanoseconds of service of all, of the replicas that are ready by slot; visits that
        these have served.
        """
        pool, since = self.pool, self._last.time if self._last else 0
        rows = pool.log.batch_rows(self._first)
        running, count = rows[:, END] > now, pool.log.batch_count()
        ended = ~running & (rows[:, END] > since)
        ended[len(rows) - (count - self._count) :] |= ~running[len(rows) - (count - self._count) :]
        self._first, self._count = (self._first + int(running.argmax()) if running.any() else count), count
        pool.log.since = now
        if self.finished is not None:
            self.finished.note(rows, ended, now)
        busy, finished, ready = np.zeros((3, len(pool.replicas)), dtype=np.int64)
        for slot in pool.view.ready:
            ready[slot] = pool.replicas[slot].record.ready or 0
        # A batch may start a little after it was taken.
        spent = np.maximum(np.minimum(rows[:, END], now) - np.maximum(rows[:, START], since), 0)
        own = rows[:, START] >= ready[rows[:, SLOT]]  # who had the slot before does not count
        np.add.at(busy, rows[own, SLOT], spent[own])
        ended &= own
        np.add.at(finished, rows[ended, SLOT], rows[ended, SIZE])
        return int(spent.sum()), busy, finished


class Known(NamedTuple):
    """A value of a metric; None where no replica told any."""

    since: int
    """When it becomes known."""
    time: int
    value: float | None
    replicas: dict[Life, float]


class Sensor:
    """One metric of a pool."""

    def __init__(self, meter: Meter, metric: Metric) -> None:
        self.meter, self.metric = meter, metric
        self._times = meter.follow(metric.window + metric.scrape) if metric.signal == "latency" else None
        self.latest: Known | None = None
        """What is known now."""
        self.silent = 0
        """Until when it cannot be read."""
        self._readings: deque[Reading] = deque([Reading(0, 0, 0, 0, 0, 0, 0, {})])
        """Those of the window, and the one before it."""
        self._coming: deque[Known] = deque()

    def process(self) -> Generator[simpy.Event, Any, Any]:
        """A SimPy process: reads once in a while."""
        clock = self.meter.pool.clock
        while True:
            yield clock.timeout(self.metric.scrape)
            now, push = int(clock.now), self.metric.push
            self.scrape(now, (-(-now // push) * push if push else now) + self.metric.delay)

    def scrape(self, now: int, known: int, anew: bool = False) -> None:
        """Reads the pool, if it can; the value is known from then on. `anew`: even if it was read at this moment."""
        if now < self.silent:
            return
        reading = self.meter.read(now, anew)
        if self._readings[-1].time < now:
            self._readings.append(reading)
        elif now:  # the first stands for the beginning, which every rate is counted from
            self._readings[-1] = reading
        while len(self._readings) > 2 and self._readings[1].time <= now - self.metric.window:
            self._readings.popleft()
        self._coming.append(self._evaluate(known))

    def silence(self, until: int) -> None:
        """Cannot be read until then; what was known or about to be is lost."""
        self.silent = max(self.silent, until)
        self.latest = None
        self._coming.clear()

    def stirs(self, now: int, last: int) -> bool:
        """Whether there is news since the last look at `last`."""
        return last < self.silent or (bool(self._coming) and self._coming[0].since <= now)

    def look(self, now: int) -> list[Known]:
        """What has become known since the last look."""
        found = []
        while self._coming and self._coming[0].since <= now:
            self.latest = self._coming.popleft()
            found.append(self.latest)
        return found

    def _evaluate(self, known: int) -> Known:
        metric, reading = self.metric, self._readings[-1]
        if metric.of_replicas:
            replicas = {life: value * metric.scale for life, value in self._by_replica()}
            value = self._over(replicas)
        else:
            replicas, value = {}, self._of_pool()
            if value is not None:
                value *= metric.scale
            if value is not None and metric.over == "mean" and metric.shared:
                value = value / len(reading.replicas) if reading.replicas else None
        return Known(known, reading.time, value, replicas)

    def _over(self, replicas: dict[Life, float]) -> float | None:
        if not replicas:
            return None
        if self.metric.over == "max":
            return max(replicas.values())
        if self.metric.over == "sum":
            return sum(replicas.values())
        if self.metric.signal == "utilisation":
            first, last = self._readings[0], self._readings[-1]
            serving = last.serving - first.serving
            return (last.busy - first.busy) / serving * self.metric.scale if serving else None
        return sum(replicas.values()) / len(replicas)

    def _of_pool(self) -> float | None:
        first, last = self._readings[0], self._readings[-1]
        if self._times is not None:
            return self._times.seconds(first.time, last.time, self.metric.quantile)
        if self.metric.signal == "arrival_rate":
            return (last.arrived - first.arrived) * SECOND / max(1, last.time - first.time)
        values: list[int] = [getattr(one, self.metric.signal) for one in self._latest()]
        return sum(values) / len(values)

    def _latest(self) -> list[Reading]:
        """The readings of the window, or the last."""
        return list(self._readings)[1:] if self.metric.window else [self._readings[-1]]

    def _by_replica(self) -> Iterator[tuple[Life, float]]:
        """Of those that are ready now: over the window, or since they are ready if that is shorter."""
        first, last = self._readings[0], self._readings[-1]
        for life, told in last.replicas.items():
            before = first.replicas.get(life, Told(0, 0, 0, 0, 0))
            if self.metric.signal in ("utilisation", "request_rate"):
                lasted = told.ready - before.ready
                if lasted > 0 and self.metric.signal == "utilisation":
                    yield life, (told.busy - before.busy) / lasted / self.meter.devices
                elif lasted > 0:
                    yield life, (told.finished - before.finished) * SECOND / lasted
            else:
                values = [self._gauge(one.replicas[life]) for one in self._latest() if life in one.replicas]
                yield life, sum(values) / len(values)

    def _gauge(self, told: Told) -> float:
        signal = self.metric.signal
        if signal == "one":
            return 1.0
        if signal == "kv_cache":
            return told.cache
        return told.waiting * (signal != "running") + told.running * (signal != "waiting")
