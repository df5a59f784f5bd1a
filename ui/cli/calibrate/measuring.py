"""`headroom calibrate measure`: a model timed here, every sample kept."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from calibration.measure import BATCHES, QUICK_ROUNDS, ROUNDS, Progress
from calibration.measure import measure as measure_subject
from calibration.samples import Samples, write_samples
from calibration.subjects import parse_shape
from scenarios.sheet import Sheet
from simulator.errors import InputError
from ui.cli import options
from ui.cli.calibrate.writing import milliseconds
from ui.cli.output import print_sheets, talk


class Device(StrEnum):
    """Where the model runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def measure(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="encoder, cnn, or module:factory of your own: a function without arguments that returns a torch "
            "nn.Module, importable from the current folder.",
        ),
    ],
    batches: Annotated[
        str, typer.Option("--batches", metavar="SIZES", help="Batch sizes to time; 1 must be among them.")
    ] = ",".join(map(str, BATCHES)),
    rounds: Annotated[
        int | None, typer.Option("--rounds", help=f"Times each batch size is timed; {ROUNDS} if not given.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help=f"{QUICK_ROUNDS} rounds: a first look.")] = False,
    threads: Annotated[int, typer.Option("--threads", help="Threads the model may use for one batch.")] = 1,
    seed: Annotated[int, typer.Option("--seed", help="Of the order, of random weights and of the inputs.")] = 1,
    device: Annotated[
        Device, typer.Option("--device", help="auto takes a CUDA GPU where torch finds one.")
    ] = Device.AUTO,
    input_shape: Annotated[
        str | None,
        typer.Option(
            "--input-shape",
            metavar="SHAPE",
            help="Shape of one input such as 3x64x64, for a model of your own without example_inputs(batch).",
        ),
    ] = None,
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
    """Time a model over batch sizes, in rounds of random order, and keep every sample.

    One run is one session. Run it again later, in a new process, for a second one: the spread between sessions
    is the honest error of the figures.
    """
    sizes = _sizes(batches)
    count = rounds if rounds is not None else QUICK_ROUNDS if quick else ROUNDS
    shape = parse_shape(input_shape) if input_shape else None
    path = out or Path(f"{subject.replace(':', '.')}-{threads}t.samples.parquet")
    if path.exists():
        raise InputError("exists already, and samples are never overwritten", file=path, fix="choose another -o")
    words = ["headroom calibrate measure", subject, f"--batches {batches}", f"--rounds {count}"]
    words += [f"--threads {threads}", f"--seed {seed}", f"--device {device}"]
    words += [f"--input-shape {input_shape}"] if input_shape else []
    with _bar(not (quiet or no_progress) and sys.stderr.isatty()) as progress:
        samples = measure_subject(
            subject,
            batches=sizes,
            rounds=count,
            threads=threads,
            seed=seed,
            device=device.value,
            input_shape=shape,
            progress=progress,
            command=" ".join(words),
        )
    write_samples(samples, path)
    print_sheets([_samples_sheet(samples)])
    protocol = samples.session.protocol
    if protocol.stop == "interrupted":
        talk(f"interrupted: the {protocol.rounds} complete rounds are in {path}", quiet)
        raise KeyboardInterrupt
    talk(f"written: {path}\nnext, best after a second session: headroom calibrate fit {path}", quiet)


def _sizes(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and len(word) < 10 for word in words):
        raise InputError(f"{text!r} are not batch sizes", path="--batches", fix="write them such as 1,2,4,8")
    return [int(word) for word in words]


@contextmanager
def _bar(show: bool) -> Iterator[Progress | None]:
    """A bar that is drawn only when it is told of a round: a thread that redraws it would disturb the timing."""
    if not show:
        yield None
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
    rows = []
    for point in session.protocol.points:
        wall, cpu = samples.measured(point, "wall_ns"), samples.measured(point, "cpu_ns")
        row = [
            len(wall),
            milliseconds(np.median(wall)),
            milliseconds(np.median(cpu)),
            milliseconds(float(np.quantile(wall, 0.95))),
        ]
        if "device_ns" in samples.columns:
            row.append(milliseconds(np.median(samples.measured(point, "device_ns"))))
        rows.append(("x".join(map(str, point)), *map(str, row)))
    columns = ("batch", "calls", "wall p50, ms", "processor p50, ms", "wall p95, ms", "device p50, ms")
    title = f"{session.subject.name}, {session.environment.device}, threads: {session.environment.threads}"
    return Sheet(title, columns[: len(rows[0])], tuple(rows))
