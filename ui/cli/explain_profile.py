"""`headroom explain profile`: where a model's time goes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from calibration.bottleneck import Bottleneck, load_bottleneck, save_bottleneck
from calibration.breakdown import from_trace
from calibration.files import read_whole, write_whole
from calibration.profile import load_profile, shipped_profiles
from calibration.profiling import BATCHES, CALLS, profile_model
from calibration.scalars import load_tensorboard, save_scalars
from calibration.subjects import parse_shape
from calibration.traces import read_trace
from scenarios.bottleneck import bottleneck_data, bottleneck_sentences, bottleneck_sheets, operator_records
from simulator.errors import InputError
from ui.cli import options
from ui.cli.calibrate.asking import Device
from ui.cli.output import Format, print_answer, talk


@dataclass(frozen=True)
class _Pass:
    """What a pass of the profiler here is to be like."""

    batches: str
    calls: int
    threads: int | None
    seed: int
    device: Device
    input_shape: str | None


def profile(
    source: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|PROFILE|FILE",
            help="A model as for calibrate measure; a profile, whose model is run again here unless "
            "NAME.bottleneck.json lies beside it; a *.bottleneck.json; or a trace of torch.profiler.",
        ),
    ],
    batches: Annotated[str, typer.Option("--batches", metavar="SIZES", help="Batch sizes to record.")] = ",".join(
        map(str, BATCHES)
    ),
    calls: Annotated[int, typer.Option("--calls", help="Calls to record at each.")] = CALLS,
    threads: Annotated[
        int | None, typer.Option("--threads", help="Threads the model may use; those of the profile, else 1.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of random weights and of the inputs.")] = 1,
    device: Annotated[
        Device, typer.Option("--device", help="auto takes a CUDA GPU where torch finds one.")
    ] = Device.AUTO,
    input_shape: Annotated[
        str | None, typer.Option("--input-shape", metavar="SHAPE", help="Shape of one input, such as 3x64x64.")
    ] = None,
    form: options.As = Format.TABLE,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FOLDER", help="Also write the record, and the trace of a pass made here."),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Into the folder also scalars that TensorBoard reads.")
    ] = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Say where a model's time goes, operator by operator, and whether the device is under-used.

    A model is run for a few calls under the PyTorch Profiler, apart from all timing.
    """
    if tensorboard:
        if out is None:
            raise InputError("needs a folder to write into", path="--tensorboard", fix="name one with -o")
        load_tensorboard()
    if out is not None and not out.is_dir():
        raise InputError("is no folder", file=out, path="--out", fix="name a folder that exists")
    asked = _Pass(batches, calls, threads, seed, device, input_shape)
    found, raw = _found(source, asked)
    _show(found, form)
    if out is not None:
        _write(found, raw, out, tensorboard, quiet)
    talk("\n".join(f"- {limit}" for limit in found.limits), quiet)


def _found(source: str, asked: _Pass) -> tuple[Bottleneck, bytes | None]:
    """The record, and the trace if a pass was made here."""
    path = shipped_profiles().get(source, Path(source))
    if not path.is_file():
        if path.suffix in (".json", ".gz"):
            raise InputError("there is no such file", file=path, fix="check the path")
        return _run(source, asked)
    kind = _format_of(path)
    if kind == "bottleneck":
        return load_bottleneck(path), None
    if kind == "calibration-profile":
        return _of_profile(path, asked)
    return from_trace(read_trace(path), path.name.split(".")[0]), None


def _format_of(path: Path) -> object:
    """What a JSON file says that it is; None for what says nothing, as traces do."""
    content = read_whole(path, "file")
    if content[:2] == b"\x1f\x8b":
        return None
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None  # reading it as a trace tells what is wrong
    return document.get("format") if isinstance(document, dict) else None


def _of_profile(path: Path, asked: _Pass) -> tuple[Bottleneck, bytes | None]:
    beside = path.with_name(f"{path.stem}.bottleneck.json")
    if beside.is_file():
        return load_bottleneck(beside), None
    profile = load_profile(path)
    if profile.subject.origin == "published" or profile.environment is None:
        fix = "name a model, a measured profile or a trace"
        raise InputError("is a profile of published figures: there is no model to run", file=path, fix=fix)
    return _run(profile.subject.name, asked, name=profile.name, threads=profile.environment.threads)


def _run(subject: str, asked: _Pass, name: str | None = None, threads: int = 1) -> tuple[Bottleneck, bytes]:
    sizes = [word.strip() for word in asked.batches.split(",")]
    if not all(word.isdecimal() and len(word) < 10 for word in sizes):
        raise InputError(f"{asked.batches!r} are not batch sizes", path="--batches", fix="write them such as 1,8")
    used = asked.threads if asked.threads is not None else threads
    words = ["headroom explain profile", subject, f"--batches {asked.batches}", f"--calls {asked.calls}"]
    words += [f"--threads {used}", f"--seed {asked.seed}", f"--device {asked.device}"]
    words += [f"--input-shape {asked.input_shape}"] if asked.input_shape else []
    return profile_model(
        subject,
        batches=[int(word) for word in sizes],
        calls=asked.calls,
        threads=used,
        seed=asked.seed,
        device=asked.device.value,
        input_shape=parse_shape(asked.input_shape) if asked.input_shape else None,
        name=name,
        command=" ".join(words),
    )


def _show(found: Bottleneck, form: Format) -> None:
    sheets, answers = bottleneck_sheets(found), bottleneck_sentences(found)
    print_answer(form, sheets, answers, operator_records(found), bottleneck_data(found))


def _write(found: Bottleneck, raw: bytes | None, folder: Path, tensorboard: bool, quiet: bool) -> None:
    written = [folder / f"{found.name}.bottleneck.json"]
    save_bottleneck(found, written[0])
    if raw is not None:
        written.append(folder / found.trace.file)
        write_whole(written[-1], raw)
    if tensorboard:
        written.append(folder / f"{found.name}.tfevents")
        save_scalars(found, written[-1])
    talk("\n".join(f"written: {path}" for path in written), quiet)
