"""`headroom calibrate measure`: a model timed here, every sample kept."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from calibration.environment import Grade
from calibration.measuring import Progress
from calibration.measuring import measure as measure_subject
from calibration.measuring.fresh import fresh_starts
from calibration.measuring.quiet import SHORT_SECONDS, probe_host
from calibration.samples import Samples, write_samples
from scenarios.sheet import Sheet
from simulator.errors import InputError
from ui.cli import options
from ui.cli.calibrate import asking
from ui.cli.calibrate.writing import milliseconds
from ui.cli.output import print_sheets, talk


def measure(
    subject: asking.Subject,
    batches: asking.Batches = None,
    seq: asking.Seq = None,
    prefill: asking.Prefill = None,
    decode: asking.Decode = None,
    context: asking.Context = None,
    threads: asking.Threads = "1",
    rounds: asking.Rounds = None,
    quick: asking.Quick = False,
    seed: asking.Seed = 1,
    device: asking.On = asking.Device.AUTO,
    mode: asking.How = asking.Mode.EAGER,
    dtype: asking.Precision = None,
    input_shape: asking.Shape = None,
    body: asking.Body = None,
    stages: asking.Stages = False,
    cold: Annotated[
        int, typer.Option("--cold", metavar="N", help="Watch so many fresh processes start first, besides this one.")
    ] = 0,
    probe: Annotated[
        float, typer.Option("--probe", metavar="SECONDS", help="Grade the host first, for so long; 0 leaves that out.")
    ] = SHORT_SECONDS,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="Samples file to write; named after the model if not given. None is ever overwritten.",
        ),
    ] = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - read where errors are caught
    no_progress: options.NoProgress = False,
) -> None:
    """Time a model over a grid, in rounds of random order, and keep every sample.

    One run is one session. Run it again later, in a new process, for a second one: the spread between sessions
    is the honest error of the figures. A run that was cut off goes on when the same command is given again.
    """
    setting = asking.asked_setting(subject, seed, device, mode, dtype, input_shape, body, stages)
    rows: asking.Rows = {"batch": batches, "seq": seq, "prefill": prefill, "decode": decode, "context": context}
    plan = asking.asked_plan(subject, rows, threads, rounds, quick, setting)
    path = out or Path(f"{asking.short_name(plan)}.samples.parquet")
    if path.exists():
        raise InputError("exists already, and samples are never overwritten", file=path, fix="choose another -o")
    journal = path.with_suffix(".journal")
    if journal == path:
        raise InputError("is the name of a journal, not of samples", file=path, fix="name it such as a.samples.parquet")
    if journal.exists():
        talk(f"going on with {journal}", quiet)
    grade = _graded(probe, quiet) if probe and not journal.exists() else None
    starts = () if journal.exists() else fresh_starts(plan, cold)
    done = 0
    with _bar(not (quiet or no_progress) and sys.stderr.isatty()) as shown:

        def progress(rounds: int, asked: int) -> None:
            nonlocal done
            done = rounds
            shown(rounds, asked)

        try:
            samples = measure_subject(
                plan,
                journal=journal,
                grade=grade,
                cold=starts,
                progress=progress,
                command=asking.command_line(asking.without_places(plan), plan.rounds),
            )
        except KeyboardInterrupt:
            text = f"interrupted: {done} complete rounds are in {journal}; the same command goes on from there"
            talk(f"{text}, and with --rounds {done} ends there" if done else text, quiet)
            raise
    write_samples(samples, path)
    journal.unlink(missing_ok=True)
    print_sheets([_samples_sheet(samples), *_cold_sheets(samples)])
    talk(f"written: {path}\nnext, best after a second session: headroom calibrate fit {path}", quiet)


def _graded(seconds: float, quiet: bool) -> Grade:
    seen = probe_host(seconds)
    talk(f"grade {seen.grade}: {seen.reason}", quiet)
    if seen.grade == "D":
        talk("this host is not fit to measure on now: fit will reject what comes of it, so better wait", quiet)
    return seen.grade


@contextmanager
def _bar(show: bool) -> Iterator[Progress]:
    """A bar that is drawn only when it is told of a round: a thread that redraws it would disturb the timing."""
    if not show:
        yield lambda done, asked: None  # noqa: ARG005 - nobody is watching
        return
    columns = (TextColumn("measuring"), BarColumn(), MofNCompleteColumn(), TextColumn("rounds"))
    console = Console(stderr=True)
    with Bars(*columns, TimeRemainingColumn(), console=console, transient=True, auto_refresh=False) as bars:
        task = bars.add_task("", total=None)
        bars.refresh()

        def progress(done: int, asked: int) -> None:
            bars.update(task, completed=done, total=asked, refresh=done % 5 == 0)

        yield progress


def _samples_sheet(samples: Samples) -> Sheet:
    session = samples.session
    protocol = session.protocol
    known = {"wall_ns": "wall", "cpu_ns": "processor", "device_ns": "device"}
    known |= {f"{stage}_ns": stage for stage in protocol.stages}
    known = {column: word for column, word in known.items() if column in samples.columns}
    rows = []
    for point in protocol.points:
        wall = samples.measured(point, "wall_ns")
        times = [np.median(samples.measured(point, column)) for column in known] + [np.quantile(wall, 0.95)]
        rows.append((*map(str, point), str(len(wall)), *map(milliseconds, times)))
    columns = (*protocol.axes, "calls", *(f"{word} p50, ms" for word in known.values()), "wall p95, ms")
    title = f"{session.subject.name}, {session.environment.device}, threads: {session.environment.threads}"
    return Sheet(title, columns, tuple(rows))


def _cold_sheets(samples: Samples) -> list[Sheet]:
    """A row for each process that was watched from its start; no sheet where none was."""
    steps = ("import", "build", "first_call", "warm_up")
    rows = [tuple(milliseconds(getattr(start, f"{step}_ns")) for step in steps) for start in samples.session.cold]
    columns = tuple(f"{step.replace('_', ' ')}, ms" for step in steps)
    return [Sheet("from the start of a process until it serves", columns, tuple(rows))] if rows else []
