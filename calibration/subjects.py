"""What is timed: a torch model with its inputs, built in or the user's own.

Built in are `encoder`, a small transformer encoder, and `cnn`, a small convolutional network. Anything else is
written `module:factory`, where calling `factory()` returns an `nn.Module`. Its inputs come from its method
`example_inputs(batch)` if it has one, else from an input shape. Torch is imported only inside the functions.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from simulator.component import Record
from simulator.errors import InputError, MeasurementError, suggestion


class Subject(Record):
    """The facts of a model that a profile carries."""

    name: str
    origin: Literal["built-in", "factory", "published"]
    description: str
    parameters: int | None = Field(None, ge=0)
    weights: str | None = None
    """Where the weights come from."""
    weights_sha256: str | None = None
    inputs: str
    """Shape of the inputs of a batch of n."""
    dtype: str
    mode: str
    """How the model runs: eager, or the engine that served it."""


@dataclass(frozen=True)
class Model:
    """A model ready to run, and the facts about it."""

    module: Any
    inputs: Callable[[int], tuple[Any, ...]]
    """Inputs of a batch of that size, on the device of the module."""
    facts: Subject


@dataclass(frozen=True)
class _BuiltIn:
    description: str
    build: Callable[[Any], Any]
    shape: tuple[int, ...]


def _encoder(nn: Any) -> Any:
    layer = nn.TransformerEncoderLayer(d_model=256, nhead=4, dim_feedforward=1024, batch_first=True)
    return nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)


def _cnn(nn: Any) -> Any:
    layers = []
    for channels, filters in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(channels, filters, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers[-1] = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 10))


BUILT_IN = {
    "encoder": _BuiltIn(
        "transformer encoder: 2 layers, width 256, 4 heads, feed-forward 1024, 32 tokens", _encoder, (32, 256)
    ),
    "cnn": _BuiltIn(
        "convolutional network: 3 layers of 16, 32 and 64 filters on 64x64 images of 3 channels", _cnn, (3, 64, 64)
    ),
}


def load_torch() -> Any:
    """The torch module. Raises MeasurementError where it is not installed."""
    try:
        return importlib.import_module("torch")
    except ImportError:
        raise MeasurementError(
            "torch is not installed, so no model can be timed; pip install 'inference-headroom[calibration]'"
        ) from None


def parse_shape(text: str) -> tuple[int, ...]:
    """Sizes of one input without the batch, from a text such as `3x64x64`. Raises InputError."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}(x[1-9][0-9]{0,8})*", text):
        raise InputError(f"{text!r} is not an input shape", path="--input-shape", fix="write it such as 3x64x64")
    return tuple(int(size) for size in text.split("x"))


def load_subject(name: str, *, seed: int = 1, device: str = "cpu", shape: tuple[int, ...] | None = None) -> Model:
    """The model of that name in evaluation mode on `device`, its random weights and inputs drawn from `seed`.

    `shape` is that of one input, without the batch. Raises InputError for a name, a factory or inputs that do
    not work.
    """
    torch = load_torch()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module, description = _build(torch, name, known := BUILT_IN.get(name))
    module = module.to(device).eval()
    if known and shape:
        raise InputError(f"{name} has its own input shape", path="--input-shape", fix="leave it out")
    inputs = _inputs(torch, name, module, known.shape if known else shape, seed, device)
    example = inputs(1)
    facts = Subject(
        name=name,
        origin="built-in" if known else "factory",
        description=description,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        weights=f"random, seed {seed}" if known else f"from the factory, after torch.manual_seed({seed})",
        weights_sha256=_weights_sha256(torch, module),
        inputs=", ".join("x".join(["n", *(str(size) for size in item.shape[1:])]) for item in example),
        dtype=str(next((item.dtype for item in module.parameters()), example[0].dtype)).removeprefix("torch."),
        mode="eager",
    )
    return Model(module, inputs, facts)


def _build(torch: Any, name: str, known: _BuiltIn | None) -> tuple[Any, str]:
    if known:
        return known.build(torch.nn), known.description
    factory = _factory(name)
    try:
        module = factory()
    except Exception as error:
        raise InputError(f"the factory failed: {type(error).__name__}: {error}", path=name) from error
    if not isinstance(module, torch.nn.Module):
        raise InputError(
            f"the factory returned {type(module).__name__}", path=name, fix="it must return a torch nn.Module"
        )
    return module, f"{type(module).__name__} of {name}"


def _factory(name: str) -> Callable[[], Any]:
    where, colon, what = name.partition(":")
    if not colon:
        fix = f"{suggestion(name, BUILT_IN)}; or module:factory for a model of your own"
        raise InputError(f"{name!r} is not a built-in model", fix=fix)
    try:
        with _current_folder():
            module = importlib.import_module(where)
    except Exception as error:
        raise InputError(
            f"cannot import {where!r}: {type(error).__name__}: {error}",
            path=name,
            fix="write module:factory, with the module importable from the current folder",
        ) from error
    factory = getattr(module, what, None)
    if not callable(factory):
        public = [word for word, value in vars(module).items() if callable(value) and word[:1] != "_"]
        raise InputError(f"{where} has no function {what!r}", path=name, fix=suggestion(what, public))
    return factory  # type: ignore[no-any-return]  # whatever it returns is checked by the caller


@contextlib.contextmanager
def _current_folder() -> Iterator[None]:
    """A console script does not see the modules of the folder it is started in; `python` does."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _inputs(
    torch: Any, name: str, module: Any, shape: tuple[int, ...] | None, seed: int, device: str
) -> Callable[[int], tuple[Any, ...]]:
    own: Any = getattr(module, "example_inputs", None)
    if shape is None and own is None:
        raise InputError(
            "nothing says what the inputs of this model are",
            path=name,
            fix="give the module a method example_inputs(batch), or pass --input-shape such as 3x64x64",
        )

    def drawn(batch: int) -> tuple[Any, ...]:
        generator = torch.Generator().manual_seed(seed)
        return (torch.randn(batch, *(shape or ()), generator=generator).to(device),)

    def given(batch: int) -> tuple[Any, ...]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                result = own(batch)
            except Exception as error:
                problem = f"example_inputs({batch}) failed: {type(error).__name__}: {error}"
                raise InputError(problem, path=name) from error
        items = result if isinstance(result, tuple) else (result,)
        if not items or not all(isinstance(item, torch.Tensor) for item in items):
            fix = "return a tensor, or a tuple of tensors"
            raise InputError(f"example_inputs({batch}) returned {type(result).__name__}", path=name, fix=fix)
        return tuple(item.to(device) for item in items)

    return drawn if shape is not None else given


def _weights_sha256(torch: Any, module: Any) -> str:
    """Digest of every parameter and buffer by name, type, shape and bytes."""
    whole = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        plain = tensor.detach().cpu().contiguous()
        whole.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
        whole.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return f"sha256:{whole.hexdigest()}"
