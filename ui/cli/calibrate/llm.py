"""`headroom calibrate llm`: steps of an LLM engine from data sheet and shapes, and a few figures of load tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calibration.files import read_whole, sha256
from calibration.llm.building import Built, Serving, build
from calibration.llm.hardware import DATA_SHEETS, Device
from calibration.llm.points import Figure, figures, read_points
from calibration.llm.roofline import NAMES
from calibration.llm.shapes import shapes
from calibration.profile import save_profile
from scenarios.base_facts import PAID_FOR
from scenarios.sheet import Sheet
from simulator.errors import InputError, suggestion
from simulator.quantities import parse_bandwidth, parse_duration
from ui.cli import options
from ui.cli.calibrate.writing import milliseconds
from ui.cli.output import print_sheets, talk


def llm(
    config: Annotated[Path, typer.Option("--config", metavar="FILE", help="The model's config.json.")],
    points: Annotated[
        Path | None,
        typer.Argument(metavar="[POINTS]", help="Figures of load tests: YAML, CSV, or what import loadtest wrote."),
    ] = None,
    gpu: Annotated[
        str | None, typer.Option("--gpu", metavar="NAME", help=f"Of the data sheets: {', '.join(DATA_SHEETS)}.")
    ] = None,
    bandwidth: Annotated[
        str | None, typer.Option("--bandwidth", help="Of another GPU's memory, such as 864GB/s; with --tflops.")
    ] = None,
    tflops: Annotated[
        float | None, typer.Option("--tflops", min=0.001, help="Of another GPU, without sparsity; with --bandwidth.")
    ] = None,
    gpus: Annotated[int, typer.Option("--gpus", min=1, max=1024, help="That share the model (tensor parallel).")] = 1,
    budget: Annotated[
        int, typer.Option("--budget", min=1, help="Tokens of the engine's steps: max_num_batched_tokens.")
    ] = 8192,
    overhead: Annotated[
        str | None, typer.Option("--overhead", help="What a first token takes beside its step, such as 6ms.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="Profile to write; none unless given.")
    ] = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - read where errors are caught
) -> None:
    """Make a profile of an LLM's steps from its shapes and a data sheet, fitted to what load tests saw."""
    name, device = _device(gpu, bandwidth, tflops)
    model = f"{_called(config)}, {sha256(read_whole(config, 'config.json'))}"
    serving = Serving(model, shapes(config), name, device, gpus)
    found: tuple[Figure, ...] = ()
    origin = ""
    if points is not None:
        before = options.parsed(parse_duration, overhead, "--overhead")
        found = tuple(figures(read_points(points), budget, before))
        origin = f"{points.name}, {sha256(read_whole(points, 'file of points'))}"
    try:
        called = _called(config) if out is None else out.name.removesuffix(".json")
        built = build(called, serving, found, origin)
    except InputError as error:
        raise error.at(file=points) from None
    sheets = [_numbers(built), _figures(built), _left_out(found)]
    print_sheets([sheet for sheet in sheets if sheet.rows])
    talk("\n".join(f"- {limit}" for limit in built.profile.limits), quiet)
    if out is not None:
        save_profile(built.profile, out)
        talk(f"written: {out}; in a scenario: service: {{INSTANCE: {{kind: profile, profile: {out}}}}}", quiet)


def _called(config: Path) -> str:
    """What the model is called by: its folder, where the file is called as all are."""
    return config.resolve().parent.name if config.name == "config.json" else config.name.removesuffix(".json")


def _device(gpu: str | None, bandwidth: str | None, tflops: float | None) -> tuple[str, Device]:
    if gpu is not None:
        if bandwidth is not None or tflops is not None:
            raise InputError("comes beside --bandwidth or --tflops", path="--gpu", fix="give the one or the others")
        if gpu not in DATA_SHEETS:
            fix = f"{suggestion(gpu, DATA_SHEETS)}; or give --bandwidth and --tflops"
            raise InputError(f"{gpu!r} has no data sheet here", path="--gpu", fix=fix)
        return gpu, DATA_SHEETS[gpu]
    if bandwidth is None or tflops is None:
        raise InputError("is not given", path="--gpu", fix="name one, or give --bandwidth and --tflops")
    speed = options.parsed(parse_bandwidth, bandwidth, "--bandwidth")
    return f"GPU of {bandwidth} and {tflops:g} Tflop/s", Device(0, speed or 0.0, tflops * 1e12)


def _numbers(built: Built) -> Sheet:
    rows = []
    for name, value in zip(NAMES, built.profile.fit.base.coefficients, strict=True):
        known = "assumed" if name in built.fit.assumed else "fitted"
        rows.append((name, f"{value / 1e3:.4g}", PAID_FOR[name], known))
    return Sheet(f"{built.profile.name}: {built.fit.numbers.level}", ("number", "us", "paid for", "known"), tuple(rows))


def _figures(built: Built) -> Sheet:
    rows = [
        (figure.label, milliseconds(figure.time_ns), f"{error:+.1%}")
        for figure, error in zip(built.used, built.fit.errors, strict=True)
    ]
    return Sheet("Fitted to", ("figure", "ms", "law is off by"), tuple(rows))


def _left_out(found: tuple[Figure, ...]) -> Sheet:
    rows = [(figure.label, milliseconds(figure.time_ns), figure.why) for figure in found if figure.of is None]
    return Sheet("Left out", ("figure", "ms", "why"), tuple(rows))
