"""One run of a measurement: build, warm up, then rounds in which every cell is called once, in random order.

Measuring one cell after another would make whatever the machine did meanwhile look like an effect of the cell.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from statistics import median
from typing import Any

from calibration.standalone import facts
from calibration.standalone.monitor import Monitor
from calibration.standalone.plan import Planned, written
from calibration.standalone.store import Store
from calibration.standalone.timing import Bench, Call, Stopwatch

_LEAST_WARM, _MOST_WARM, _STEADY, _WITHIN = 10, 50, 5, 0.1
_RAMP_S, _EVERY_S = 1.0, 10.0
_BUILDING = 0.6
"""Share of a run's time after which nothing more is built, so that what is ready can be measured."""
_MARGIN_S = 5.0
PROTOCOL = {
    "design": "randomised complete blocks",
    "warmup": (
        f"each cell in turn, at least {_LEAST_WARM} calls, until the last {_STEADY} are within {_WITHIN:.0%} of the "
        f"median so far, at most {_MOST_WARM}; kept as phase warm, the first as cold; then {_RAMP_S:g} s of calls "
        "without a pause, so that clocks rise"
    ),
    "boundary": "forward pass in inference mode, from the same inputs, already on the device, to outputs ready",
    "garbage_collection": "on",
    "outliers": "kept",
}


class Slice:
    """What one process adds to the measurement. Raises ValueError for a folder that holds another one."""

    def __init__(
        self,
        torch: Any,
        subjects: tuple[Planned, ...],
        out: Path,
        *,
        device: str,
        threads: int,
        seed: int,
        rounds: int,
        until: float,
        import_ns: int,
    ) -> None:
        torch.set_num_threads(threads)
        self._torch, self._subjects, self._device, self._threads = torch, subjects, device, threads
        self._seed, self._rounds, self._until, self._began = seed, rounds, until, time.perf_counter()
        plan = {"subjects": written(subjects), "seed": seed, "protocol": PROTOCOL}
        self._store = Store(out, {**plan, "environment": facts.environment(torch, device, threads)})
        self._process = len(self._store.facts["slices"])
        self._record: dict[str, Any] = {
            "started_utc": facts.now(),
            "finished_utc": facts.now(),
            "stop": "cut off",
            "rounds": 0,
            "rounds_asked": rounds,
            "import_ns": import_ns,
            "clock": facts.clock(),
            "host": [],
            "readings_by": "nothing",
            "subjects": [],
            "left_out": [],
        }
        self._rows: list[str] = []
        self._kept = time.perf_counter()
        self._monitor: Monitor | None = None
        self.interrupted = False

    def run(self) -> int:
        """Measures until the time or the rounds are over; returns how many rounds there are now, over all runs."""
        done = int(self._store.facts["rounds"])
        if done >= self._rounds:
            return done
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, self._interrupt)
        with self._torch.inference_mode():
            self._monitor = Monitor(facts.gpu_id(self._torch) if self._device == "cuda" else None, self._process)
            self._record["readings_by"] = self._monitor.source
            self._watch = Stopwatch(self._torch, self._device, self._threads)
            self._store.facts["slices"].append(self._record)
            self._note_host()
            calls = self._prepare()
            if not calls and not self.interrupted:
                raise RuntimeError("no cell could be made ready; see left_out in facts.json, or allow more --minutes")
            self._ramp(list(calls.values()))
            self._keep()
            return self._measure(calls, done)

    def _interrupt(self, *_: object) -> None:
        # Nothing is broken off: a call that has begun, a round that is being written. The second time it is.
        self.interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def _prepare(self) -> dict[int, Call]:
        """The cells that are ready and warm; those that are not are left out, and why is written down."""
        calls: dict[int, Call] = {}
        bench, first = Bench(self._torch, self._device, self._seed), 0
        self._build_until = self._began + _BUILDING * (self._until - self._began)
        for place, subject in enumerate(self._subjects):
            if self.interrupted:
                break
            if time.perf_counter() > self._build_until:
                self._leave_out(subject, None, "the time for building was over")
            elif built := self._built(bench, subject):
                calls |= self._warmed(bench, subject, first, built)
                self._record["subjects"].append({"subject": place, **built})
            first += len(subject.points)
        return calls

    def _built(self, bench: Bench, subject: Planned) -> dict[str, Any] | None:
        try:
            return bench.build(subject)
        except RuntimeError as error:  # out of memory: the other subjects go on
            self._leave_out(subject, None, error)
            self._free()
            return None

    def _warmed(self, bench: Bench, subject: Planned, first: int, built: dict[str, Any]) -> dict[int, Call]:
        calls: dict[int, Call] = {}
        took = 0.0
        for cell, point in enumerate(subject.points, first):
            if self.interrupted:
                break
            began = time.perf_counter()
            if began + took > self._build_until:
                self._leave_out(subject, point, "the time for building was over")
                continue
            try:
                calls[cell] = self._warm(cell, bench, subject, point, built)
            except Exception as error:  # out of memory, or what a mode cannot do: the other cells go on
                self._leave_out(subject, point, error)
                self._free()
            took = time.perf_counter() - began
        return calls

    def _warm(self, cell: int, bench: Bench, subject: Planned, point: dict[str, int], built: dict[str, Any]) -> Call:
        began, cuda = time.perf_counter_ns(), self._device == "cuda"
        rows, held = [], 0
        if cuda:
            self._torch.cuda.reset_peak_memory_stats()
            held = self._torch.cuda.memory_allocated()
        call = bench.ready(subject, point)
        walls: list[int] = []
        while len(walls) < _MOST_WARM:
            numbers = self._watch.time(call)
            rows.append(self._row("warm" if walls else "cold", -1, cell, numbers))
            walls.append(numbers[1])
            if len(walls) == 1:
                built.setdefault("first_call_ns", time.perf_counter_ns() - began)
            middle = median(walls)
            if len(walls) >= _LEAST_WARM and all(abs(wall - middle) <= _WITHIN * middle for wall in walls[-_STEADY:]):
                break
        built.setdefault("warm_up_ns", time.perf_counter_ns() - began - built["first_call_ns"])
        if cuda:
            built.setdefault("held_bytes", []).append(self._torch.cuda.memory_allocated())
            built.setdefault("peak_bytes", []).append(self._torch.cuda.max_memory_allocated() - held)
        self._rows += rows
        return call

    def _row(self, phase: str, number: int, cell: int, numbers: tuple[int, ...]) -> str:
        return ",".join((phase, *map(str, (self._process, number, cell, *numbers))))

    def _leave_out(self, subject: Planned, point: dict[str, int] | None, why: Exception | str) -> None:
        said = why if isinstance(why, str) else f"{type(why).__name__}: {(str(why).splitlines() or [''])[0]}"
        self._record["left_out"].append({"subject": subject.name, "point": point, "why": _without_paths(said)})

    def _free(self) -> None:
        if self._device == "cuda":
            with contextlib.suppress(RuntimeError):
                self._torch.cuda.empty_cache()

    def _ramp(self, calls: list[Call]) -> None:
        over = time.perf_counter() + _RAMP_S
        while calls and time.perf_counter() < over:
            for call in calls:
                self._watch.time(call)
                if time.perf_counter() >= over:
                    break

    def _measure(self, calls: dict[int, Call], done: int) -> int:
        import numpy as np

        order, cells, longest = np.random.default_rng([self._seed, self._process]), list(calls), 0.0
        while done < self._rounds and time.perf_counter() + 1.5 * longest + _MARGIN_S < self._until:
            began = time.perf_counter()
            rows = []
            for cell in order.permutation(cells).tolist():
                if self.interrupted:
                    return done
                rows.append((cell, self._watch.time(calls[cell])))
            self._rows += [self._row("measure", done, cell, numbers) for cell, numbers in rows]
            done += 1
            self._record["rounds"] += 1
            self._store.facts["rounds"] = done
            if time.perf_counter() - self._kept > _EVERY_S or self._record["rounds"] == 1:
                self._keep()
            longest = max(longest, time.perf_counter() - began)
        return done

    def _note_host(self) -> None:
        at = time.perf_counter_ns() - self._watch.origin
        self._record["host"].append({"at_ns": at, **facts.host()})

    def _keep(self) -> None:
        """Between rounds: what is measured so far is written, so that no more than that can be lost."""
        self._note_host()
        self._record["finished_utc"] = facts.now()
        rows, self._rows = self._rows, []
        self._store.keep(rows, self._monitor.taken() if self._monitor else [])
        self._kept = time.perf_counter()

    def close(self, stop: str) -> None:
        """Ends the run: says why it stopped, and keeps the rounds that were complete."""
        if self._monitor is None:
            return
        self._monitor.stop()
        self._record["stop"] = stop
        self._keep()


def _without_paths(text: str) -> str:
    return " ".join("..." if os.sep in word else word for word in text.split(" "))[:300]
