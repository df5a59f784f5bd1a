"""Torch models with their inputs: built in, or the user's own.

A model of one's own is what `module:factory` returns, an `nn.Module`. Its inputs come from its method
`example_inputs(batch)`, or `example_inputs(batch, seq)` where the length of sequences is an axis, else from an input
shape. Torch is imported only inside the functions.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from calibration.subjects.base import Subject
from calibration.subjects.factory import example, find_factory, made_by
from simulator.errors import InputError, MeasurementError, suggestion


@dataclass(frozen=True)
class Model:
    """A model ready to run, and the facts about it."""

    module: Any
    inputs: Callable[..., tuple[Any, ...]]
    """Inputs of a batch of that size and, where asked, length of sequences, on the device of the module."""
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


def load_subject(
    name: str,
    *,
    seed: int = 1,
    device: str = "cpu",
    shape: tuple[int, ...] | None = None,
    dtype: str | None = None,
    mode: str = "eager",
    made: Any = None,
) -> Model:
    """The model of that name in evaluation mode on `device`, its random weights and inputs drawn from `seed`.

    `shape` is that of one input, without the batch; `dtype` that of weights and inputs, as they are if None; `mode` is
    only written into the facts; `made` is what the factory returned, if somebody has called it already. Raises
    InputError for a name, a factory or inputs that do not work.
    """
    torch = load_torch()
    known = BUILT_IN.get(name)
    if known is None and ":" not in name:
        fix = f"{suggestion(name, BUILT_IN)}; or module:factory for a model of your own"
        raise InputError(f"{name!r} is not a built-in model", fix=fix)
    if known and shape:
        raise InputError(f"{name} has its own input shape", path="--input-shape", fix="leave it out")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = known.build(torch.nn) if known else made if made is not None else made_by(find_factory(name), name)
    if not isinstance(module, torch.nn.Module):
        fix = "it must return a torch nn.Module, or something with a method predict"
        raise InputError(f"the factory returned {type(module).__name__}", path=name, fix=fix)
    module = module.to(device, None if dtype is None else getattr(torch, dtype)).eval()
    inputs = _Inputs(torch, name, module, known.shape if known else shape, seed, device, dtype)
    first = inputs(1)
    facts = Subject(
        name=name,
        origin="built-in" if known else "factory",
        description=known.description if known else f"{type(module).__name__} of {name}",
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        weights=f"random, seed {seed}" if known else f"from the factory, after torch.manual_seed({seed})",
        weights_sha256=_weights_sha256(torch, module),
        inputs=", ".join("x".join(["n", *(str(size) for size in item.shape[1:])]) for item in first),
        dtype=str(next((item.dtype for item in module.parameters()), first[0].dtype)).removeprefix("torch."),
        mode=mode,
    )
    return Model(module, inputs, facts)


@dataclass(frozen=True)
class _Inputs:
    """Draws the inputs of a batch, the same ones for the same seed."""

    torch: Any
    name: str
    module: Any
    shape: tuple[int, ...] | None
    seed: int
    device: str
    dtype: str | None

    def __post_init__(self) -> None:
        if self.shape is None and not hasattr(self.module, "example_inputs"):
            raise InputError(
                "nothing says what the inputs of this model are",
                path=self.name,
                fix="give the module a method example_inputs(batch), or pass --input-shape such as 3x64x64",
            )

    def __call__(self, batch: int, seq: int | None = None) -> tuple[Any, ...]:
        items = self._given(batch, seq) if self.shape is None else self._drawn(batch, seq)
        wanted = None if self.dtype is None else getattr(self.torch, self.dtype)
        return tuple(item.to(self.device, wanted if item.is_floating_point() else None) for item in items)

    def _drawn(self, batch: int, seq: int | None) -> tuple[Any, ...]:
        shape = self.shape or ()
        if seq is not None:
            shape = (seq, *shape[1:])
        generator = self.torch.Generator().manual_seed(self.seed)
        return (self.torch.randn(batch, *shape, generator=generator),)

    def _given(self, batch: int, seq: int | None) -> tuple[Any, ...]:
        at = {"batch": batch} if seq is None else {"batch": batch, "seq": seq}
        with self.torch.random.fork_rng(devices=[]):
            self.torch.manual_seed(self.seed)
            result = example(self.module, self.name, at)
        items = result if isinstance(result, tuple) else (result,)
        if not items or not all(isinstance(item, self.torch.Tensor) for item in items):
            problem = f"example_inputs({', '.join(map(str, at.values()))}) returned {type(result).__name__}"
            raise InputError(problem, path=self.name, fix="return a tensor, or a tuple of tensors")
        return items


def _weights_sha256(torch: Any, module: Any) -> str:
    """Digest of every parameter and buffer by name, type, shape and bytes."""
    whole = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        plain = tensor.detach().cpu().contiguous()
        whole.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
        whole.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return f"sha256:{whole.hexdigest()}"
