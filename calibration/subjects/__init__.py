"""What can be timed, one file a kind: a subject is found by its name and set up.

- `encoder`, `cnn` and the other built-in torch models;
- `module:factory`, a function of one's own that returns a torch `nn.Module` or something with `predict`;
- `model.onnx`, an ONNX file;
- `command: python infer.py --batch {batch}`, a program;
- `http://...`, a service.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any, Literal

from calibration.subjects.base import (
    At,
    Clock,
    Mode,
    Setting,
    Stage,
    Step,
    Subject,
    Target,
    Work,
    parse_shape,
)
from calibration.subjects.command import PREFIX, Command
from calibration.subjects.endpoint import Endpoint
from calibration.subjects.estimator import Estimator
from calibration.subjects.factory import find_factory, made_by
from calibration.subjects.onnx_file import OnnxFile, load_onnxruntime
from calibration.subjects.torch_models import BUILT_IN, Model, load_subject, load_torch, need_cuda
from calibration.subjects.torch_target import TorchModel

__all__ = [
    "BUILT_IN",
    "At",
    "Clock",
    "Mode",
    "Model",
    "Setting",
    "Stage",
    "Step",
    "Subject",
    "Target",
    "Work",
    "found_device",
    "import_for",
    "load_subject",
    "load_torch",
    "need_cuda",
    "open_subject",
    "parse_shape",
    "taken_import",
]


def open_subject(name: str, setting: Setting) -> Target:
    """The subject of that name, set up. Raises InputError for one that does not work, and MeasurementError."""
    if name.startswith(PREFIX):
        return Command(name, setting)
    if name.startswith(("http://", "https://")):
        return Endpoint(name, setting)
    if name.endswith(".onnx"):
        return OnnxFile(name, setting)
    if ":" not in name:
        return TorchModel(name, setting)
    made = _made(name, setting.seed)
    if callable(getattr(made, "predict", None)) and not _is_module(made):
        return Estimator(name, made, setting)
    return TorchModel(name, setting, made)


def _made(name: str, seed: int) -> Any:
    """What the factory returns, its random weights drawn from the seed where they are those of torch."""
    factory, torch = find_factory(name), sys.modules.get("torch")
    if torch is None:
        made = made_by(factory, name)
        # A factory that imports torch itself is called again, for weights of the seed.
        return None if _is_module(made) else made
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return made_by(factory, name)


def _is_module(made: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(made, torch.nn.Module)


@dataclass(frozen=True)
class Imported:
    """What importing for a subject took, once in a process."""

    took_ns: int
    torch_known: bool
    """Whether torch had been there before."""


_imports: dict[str, Imported] = {}


def import_for(name: str) -> None:
    """Imports what a subject runs on; `taken_import` then says how long that took."""
    before, known, began = len(sys.modules), "torch" in sys.modules, time.perf_counter_ns()
    if name.startswith((PREFIX, "http://", "https://")):
        return
    if name.endswith(".onnx"):
        load_onnxruntime()
    elif ":" in name:
        find_factory(name)
    else:
        load_torch()
    if len(sys.modules) > before:
        _imports[name] = Imported(time.perf_counter_ns() - began, known)


def taken_import(name: str) -> Imported | None:
    """What importing for a subject took, if anything had to be; it is told once, as a process is fresh once."""
    return _imports.pop(name, None)


def found_device(name: str) -> Literal["cpu", "cuda"]:
    """Where a subject runs if nobody says: a torch model on a CUDA GPU where torch finds one."""
    import_for(name)
    torch = sys.modules.get("torch")
    if torch is None or name.startswith((PREFIX, "http://", "https://")) or name.endswith(".onnx"):
        return "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"
