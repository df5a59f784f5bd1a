"""`headroom calibrate validate`: a real server on this machine, under load, against the simulator."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from calibration.files import write_whole
from calibration.live.device import Device
from calibration.live.record import LEVELS, Validation, save_validation
from calibration.live.servers import BALANCERS, Setup
from calibration.live.validation import Plan
from calibration.live.validation import validate as run_validation
from calibration.profile import find_profile, load_profile
from scenarios.files import make_folder, picture
from scenarios.validation_charts import charts
from scenarios.validation_page import validation_page
from scenarios.validation_sheets import sentence, sheets
from simulator.component import problems
from simulator.errors import InputError, suggestion
from simulator.service import Table
from ui.cli import options
from ui.cli.calibrate.validating_engine import MISSED, validate_engine, warmup
from ui.cli.output import print_line, print_sheets, progress_bar, talk

EMULATED = "emulated"
LOADS, QUICK_LOADS, ENGINE_LOADS = "30,50,65,80,120", "50,80", "30,50,70,90"
SECONDS, QUICK_SECONDS = 60.0, 15.0


class Server(StrEnum):
    """Real servers."""

    MOSEC = "mosec"
    TRITON = "triton"
    TRANSFORMERS = "transformers"


def validate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="emulated: an accelerator that sleeps for a known law. Or a torch model, as `measure` names it; "
            "llama behind transformers.",
        ),
    ] = EMULATED,
    server: Annotated[Server, typer.Option("--server", help="The real server.")] = Server.MOSEC,
    max_batch: Annotated[int, typer.Option("--max-batch", min=1, max=256, help="Its largest batch.")] = 8,
    max_delay: Annotated[
        str, typer.Option("--max-delay", metavar="TIME", help="How long it waits for more, such as 5ms.")
    ] = "5ms",
    replicas: Annotated[int, typer.Option("--replicas", min=1, max=16, help="So many of it, behind HAProxy.")] = 1,
    balancer: Annotated[
        str | None,
        typer.Option("--balancer", metavar="NAME", help=f"{', '.join(BALANCERS)}; the first if there are replicas."),
    ] = None,
    loads: Annotated[
        str | None,
        typer.Option(
            "--loads",
            metavar="PERCENT",
            help=f"Of the measured capacity; {LOADS} if not given ({ENGINE_LOADS} of transformers).",
        ),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=5, max=3600, help=f"Of each run; {SECONDS:g} if not given.")
    ] = None,
    repeats: Annotated[
        int, typer.Option("--repeats", min=2, max=20, help="Runs of each load: what they differ by is the floor.")
    ] = 2,
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="PROFILE", help="Also predict from this profile: level V3.")
    ] = None,
    input_shape: Annotated[str | None, typer.Option("--input-shape", metavar="SHAPE", help="As for `measure`.")] = None,
    triton: Annotated[
        Path | None,
        typer.Option("--triton", metavar="FOLDER", help="Virtual environment with nvidia-pytriton, if not on PATH."),
    ] = None,
    transformers: Annotated[
        Path | None,
        typer.Option(
            "--transformers", metavar="FOLDER", help="Virtual environment with transformers, if not beside Headroom."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of arrivals, device and weights.")] = 1,
    same: Annotated[
        bool, typer.Option("--same", help="Do not rank other settings of the server, which takes a run of each.")
    ] = False,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help=f"Loads {QUICK_LOADS}, {QUICK_SECONDS:g} s each, no other settings: a first look."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FOLDER", help="Also write the record and the charts into this folder."),
    ] = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - read where errors are caught
    no_progress: options.NoProgress = False,
) -> None:
    """Put a real server on this machine under load, and hold the simulator against it.

    Latency counts from when a request was to be sent. Exits with 3 where a verdict is FAIL or nothing could be judged.
    """
    if server == Server.TRANSFORMERS:
        given: dict[str, object] = {"balancer": balancer, "profile": profile, "input-shape": input_shape}
        given |= {"max-batch": max_batch != 8, "max-delay": max_delay != "5ms", "replicas": replicas > 1}
        given |= {"triton": triton, "same": same}
        engine_loads = _loads(loads or (QUICK_LOADS if quick else ENGINE_LOADS))
        length = seconds or (QUICK_SECONDS if quick else SECONDS)
        validate_engine(model, given, engine_loads, length, repeats, transformers, seed, out, quiet, no_progress)
        return
    plan = Plan(
        device=_device(model, input_shape, seed),
        setup=_setup(server, max_batch, max_delay, replicas, balancer),
        loads=_loads(loads or (QUICK_LOADS if quick else LOADS)),
        seconds=(length := seconds or (QUICK_SECONDS if quick else SECONDS)),
        warmup=warmup(length),
        repeats=repeats,
        seed=seed,
        profile=profile,
        stale=_stale(profile, max_batch),
        tritonserver=triton,
        variants=not (quick or same),
    )
    if out:
        make_folder(out)
    command = f"headroom calibrate validate {model} --server {server} --seconds {length:g} --repeats {repeats}"
    with progress_bar(not (quiet or no_progress) and sys.stderr.isatty()) as progress:
        found = run_validation(plan, progress, command)
    print_sheets(sheets(found))
    print_line(sentence(found))
    for level, meaning in LEVELS.items():
        if any(one.level == level for one in found.comparisons):
            talk(f"{level}: {meaning}", quiet)
    if out:
        _write(found, out)
        talk(f"written: {out}", quiet)
    if not found.holds():
        raise typer.Exit(MISSED)


def _device(model: str, input_shape: str | None, seed: int) -> Device:
    if model == EMULATED:
        if input_shape:
            raise InputError("an emulated accelerator has no inputs", path="--input-shape", fix="leave it out")
        return Device(seed=seed)
    return Device(model=model, input_shape=input_shape, seed=seed)


def _setup(server: Server, max_batch: int, max_delay: str, replicas: int, balancer: str | None) -> Setup:
    if balancer is None and replicas > 1:
        balancer = next(iter(BALANCERS))
    if balancer is not None and balancer not in BALANCERS:
        raise InputError(f"{balancer!r} is not a balancer", path="--balancer", fix=suggestion(balancer, BALANCERS))
    fields = {"server": server.value, "max_batch": max_batch, "max_delay": max_delay, "replicas": replicas}
    try:
        return Setup.model_validate({**fields, "balancer": balancer})
    except ValidationError as error:
        where, what = problems(error)[0]
        raise InputError(what, path=f"--{where.replace('_', '-')}" if where else "--balancer") from None


def _loads(text: str) -> tuple[float, ...]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and 1 <= int(word) <= 300 for word in words) or len(set(words)) < len(words):
        fix = "write different whole numbers from 1 to 300, such as 30,50,80"
        raise InputError(f"{text!r} are not percentages of the capacity", path="--loads", fix=fix)
    return tuple(int(word) / 100 for word in words)


def _stale(profile: str | None, max_batch: int) -> Table | None:
    if profile is None:
        return None
    table = load_profile(find_profile(profile)).table()
    if not isinstance(table, Table):
        fix = "hold the other axis: derive a profile of batch sizes alone from it"
        raise InputError(f"{profile} has more axes than the batch", path="--profile", fix=fix)
    if table.largest_batch() < max_batch:
        problem = f"{profile} ends at batch {table.largest_batch()}, and the server makes batches up to {max_batch}"
        raise InputError(problem, path="--profile", fix="lower --max-batch, or choose another profile")
    return table


def _write(found: Validation, out: Path) -> None:
    """The record, the charts as SVG and PNG, and a page with all of it."""
    save_validation(found, out / "validation.json")
    drawn = charts(found)
    pictures = {name: picture(chart, "svg") for name, chart in drawn.items()}
    for name, chart in drawn.items():
        write_whole(out / f"{name}.svg", pictures[name])
        write_whole(out / f"{name}.png", picture(chart, "png"))
    write_whole(out / "validation.html", validation_page(found, pictures).encode())
