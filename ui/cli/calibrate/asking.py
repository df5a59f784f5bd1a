"""What `headroom calibrate plan` and `measure` both ask: a model, a grid, and how the model runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, get_args
from urllib.parse import urlsplit

import typer

from calibration.axes import AxisName
from calibration.measuring import QUICK_ROUNDS, ROUNDS, Plan, grid_plan
from calibration.measuring.plan import OPTIONS, usual_values
from calibration.subjects import Setting, found_device, parse_shape
from calibration.subjects.base import Dtype
from simulator.errors import InputError, suggestion

Rows = Mapping[AxisName, str | None]


class Device(StrEnum):
    """Where the model runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Mode(StrEnum):
    """How a torch model runs."""

    EAGER = "eager"
    COMPILE = "compile"
    CUDAGRAPH = "cudagraph"


Subject = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A built-in model such as encoder or cnn; module:factory of your own, a function without arguments that "
        "returns a torch nn.Module or something with predict, importable from the current folder; a file model.onnx; "
        "'command: python infer.py --batch {batch}'; or the http:// address of a service.",
    ),
]
Batches = Annotated[
    str | None, typer.Option("--batches", metavar="SIZES", help="Batch sizes to time; 1 must be among them.")
]
Seq = Annotated[str | None, typer.Option("--seq", metavar="TOKENS", help="Lengths of sequences, an axis of its own.")]
Prefill = Annotated[
    str | None, typer.Option("--prefill", metavar="TOKENS", help="Of a decoder's step: tokens of prompts in it.")
]
Decode = Annotated[
    str | None, typer.Option("--decode", metavar="SEQUENCES", help="Of a decoder's step: sequences that decode.")
]
Context = Annotated[
    str | None,
    typer.Option("--context", metavar="TOKENS", help="Of a decoder's step: tokens that each has in its cache."),
]
Threads = Annotated[
    str,
    typer.Option("--threads", metavar="COUNTS", help="Threads the model may use for one batch; several are an axis."),
]
Rounds = Annotated[
    int | None, typer.Option("--rounds", help=f"Times each point of the grid is timed; {ROUNDS} if not given.")
]
Quick = Annotated[bool, typer.Option("--quick", help=f"{QUICK_ROUNDS} rounds: a first look.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the order, of random weights and of the inputs.")]
On = Annotated[Device, typer.Option("--device", help="auto takes a CUDA GPU where torch finds one.")]
How = Annotated[Mode, typer.Option("--mode", help="How a torch model runs; each is a profile of its own.")]
Precision = Annotated[
    str | None, typer.Option("--dtype", help="Of a torch model: float32, bfloat16 or float16; as it is if not given.")
]
Shape = Annotated[
    str | None,
    typer.Option(
        "--input-shape",
        metavar="SHAPE",
        help="Shape of one input such as 3x64x64, for a model of your own without example_inputs(batch).",
    ),
]
Body = Annotated[
    str | None,
    typer.Option(
        "--body", metavar="FILE", help="Body of a request to a service; what stands between << and >> is one item."
    ),
]
Stages = Annotated[
    bool, typer.Option("--stages", help="Time what a torch model needs around its computation too, each stage apart.")
]


def asked_plan(
    subject: str,
    rows: Rows,
    threads: str,
    rounds: int | None,
    quick: bool,
    setting: Setting,
) -> Plan:
    """The plan that the options name. Raises InputError."""
    given = {axis: _numbers(axis, text) for axis, text in rows.items() if text is not None}
    values = {**(given or usual_values(subject)), "threads": _numbers("threads", threads)}
    return grid_plan(subject, values, rounds if rounds is not None else QUICK_ROUNDS if quick else ROUNDS, setting)


def asked_setting(
    subject: str,
    seed: int,
    device: Device,
    mode: Mode,
    dtype: str | None,
    shape: str | None,
    body: str | None,
    stages: bool,
) -> Setting:
    """How the options set the subject up. Raises InputError."""
    if not 0 <= seed < 2**63:
        raise InputError(f"{seed} is out of range", path="--seed", fix="choose a whole number from 0")
    known = get_args(Dtype)
    if dtype is not None and dtype not in known:
        raise InputError(f"{dtype!r} is not a dtype", path="--dtype", fix=suggestion(dtype, known))
    return Setting.model_validate(
        {
            "seed": seed,
            "device": found_device(subject) if device == Device.AUTO else device.value,
            "mode": mode.value,
            "dtype": dtype,
            "input_shape": parse_shape(shape) if shape else None,
            "body": body,
            "stages": stages,
        }
    )


def _numbers(axis: AxisName, text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and len(word) < 10 for word in words):
        what = "batch sizes" if axis == "batch" else f"numbers of {axis}"
        raise InputError(f"{text!r} are not {what}", path=OPTIONS[axis], fix="write them such as 1,2,4,8")
    return tuple(int(word) for word in words)


def command_line(plan: Plan, rounds: int) -> str:
    """The `measure` that makes this plan."""
    setting, plain = plan.setting, Setting()
    words = ["headroom calibrate measure", shlex.quote(plan.subject)]
    for axis, option in OPTIONS.items():
        if axis in plan.axes:
            values = sorted({point[plan.axes.index(axis)] for point in plan.points})
            words.append(f"{option} {','.join(map(str, values))}")
    words += [] if "threads" in plan.axes else [f"--threads {plan.threads}"]
    words += [f"--rounds {rounds}", f"--seed {setting.seed}", f"--device {setting.device}"]
    words += [f"--mode {setting.mode}"] if setting.mode != plain.mode else []
    words += [f"--dtype {setting.dtype}"] if setting.dtype else []
    words += [f"--input-shape {'x'.join(map(str, setting.input_shape))}"] if setting.input_shape else []
    words += [f"--body {shlex.quote(setting.body)}"] if setting.body else []
    words += ["--stages"] if setting.stages else []
    return " ".join(words)


def without_places(plan: Plan) -> Plan:
    """The plan as a record may tell it: paths carry the names of people, and addresses those of hosts."""
    setting, subject = plan.setting, plan.subject
    if subject.startswith(("http://", "https://")):
        subject = f"{urlsplit(subject).scheme}://HOST{urlsplit(subject).path}"
    elif subject.endswith(".onnx"):
        subject = Path(subject).name
    body = setting.body and Path(setting.body).name
    return plan.model_copy(update={"subject": subject, "setting": setting.model_copy(update={"body": body})})


def short_name(plan: Plan) -> str:
    """What files of this plan are called, without an ending."""
    subject = Path(plan.subject).stem if plan.subject.endswith(".onnx") else plan.subject
    word = re.sub(r"[^A-Za-z0-9._]+", "-", re.sub(r"^([\w.]+):(\w+)$", r"\1.\2", subject)).strip("-.")[:50]
    variant = "".join(f"-{part}" for part in (plan.setting.mode, plan.setting.dtype) if part not in ("eager", None))
    return f"{word}{variant}-{'gpu' if plan.setting.device == 'cuda' else f'{plan.threads}t'}"
