"""Torch models with their inputs: built in, or the user's own.

A model of one's own is what `module:factory` returns, an `nn.Module`. Its inputs come from its method
`example_inputs(batch)`, or `example_inputs(batch, seq)` where the length of sequences is an axis, else from an input
shape. One that does the steps of a decoder says so by an attribute `axes`, ("prefill", "decode", "context"), and gives
`example_inputs(prefill, decode, context)`. Torch is imported only inside the functions.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from calibration.axes import AxisName
from calibration.networks import LARGE_NETWORKS, NETWORKS, Network
from calibration.standalone.weights import weights_sha256
from calibration.subjects.base import At, Subject
from calibration.subjects.factory import example, find_factory, made_by
from simulator.errors import InputError, MeasurementError, suggestion

BUILT_IN = {**NETWORKS, **LARGE_NETWORKS}


@dataclass(frozen=True)
class Model:
    """A model ready to run, and the facts about it."""

    module: Any
    at: Callable[[At], tuple[Any, ...]]
    """The inputs of a call at a point of its axes, on the device of the module. Raises InputError."""
    axes: tuple[AxisName, ...]
    facts: Subject

    def inputs(self, batch: int) -> tuple[Any, ...]:
        """Those of a batch of that size."""
        return self.at({"batch": batch})


def load_torch() -> Any:
    """The torch module. Raises MeasurementError where it is not installed."""
    try:
        return importlib.import_module("torch")
    except ImportError:
        raise MeasurementError(
            "torch is not installed, so no model can be timed; pip install 'inference-headroom[calibration]'"
        ) from None


def need_cuda(torch: Any) -> None:
    """Raises MeasurementError where torch finds no CUDA GPU."""
    if not torch.cuda.is_available():
        raise MeasurementError("torch finds no CUDA GPU here; use --device cpu, or a machine with one")


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
    network = BUILT_IN.get(name)
    if network is None and ":" not in name:
        fix = f"{suggestion(name, BUILT_IN)}; or module:factory for a model of your own"
        raise InputError(f"{name!r} is not a built-in model", fix=fix)
    if network and shape:
        raise InputError(f"{name} has its own input shape", path="--input-shape", fix="leave it out")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = network.build() if network else made if made is not None else made_by(find_factory(name), name)
    if not isinstance(module, torch.nn.Module):
        fix = "it must return a torch nn.Module, or something with a method predict"
        raise InputError(f"the factory returned {type(module).__name__}", path=name, fix=fix)
    wanted = None if dtype is None else getattr(torch, dtype)
    module = module.to(device, wanted).eval()
    inputs: Callable[[At], tuple[Any, ...]] = (
        _Built(network, seed, device, wanted)
        if network
        else _Own(torch, name, module, shape, seed=seed, device=device, dtype=wanted)
    )
    axes = (*network.axes, *network.usual) if network else getattr(module, "axes", ("batch", "seq"))
    batched = "batch" in axes
    first = inputs({"batch": 1} if batched else {"prefill": 1, "decode": 1, "context": 0})
    facts = Subject(
        name=name,
        origin="built-in" if network else "factory",
        description=network.description if network else f"{type(module).__name__} of {name}",
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        weights=f"random, seed {seed}" if network else f"from the factory, after torch.manual_seed({seed})",
        weights_sha256=weights_sha256(torch, module),
        inputs=", ".join("x".join(["n", *(str(size) for size in item.shape[1:])]) for item in first)
        if batched
        else "tokens to prefill, tokens to decode, and the cache of both",
        dtype=str(next((item.dtype for item in module.parameters()), first[0].dtype)).removeprefix("torch."),
        mode=mode,
    )
    return Model(module, inputs, tuple(axis for axis in get_args(AxisName) if axis in axes), facts)


@dataclass(frozen=True)
class _Built:
    """The inputs of a built-in model."""

    network: Network
    seed: int
    device: str
    dtype: Any

    def __call__(self, point: At) -> tuple[Any, ...]:
        try:
            at = {str(axis): value for axis, value in point.items()}
            return self.network.inputs(at, seed=self.seed, device=self.device, dtype=self.dtype)
        except ValueError as error:
            raise InputError(str(error), fix="choose other points") from None


@dataclass(frozen=True)
class _Own:
    """The inputs of a model of one's own: those that it gives, or drawn ones of a shape."""

    torch: Any
    name: str
    module: Any
    shape: tuple[int, ...] | None
    seed: int
    device: str
    dtype: Any

    def __post_init__(self) -> None:
        if (self.shape is None or hasattr(self.module, "axes")) and not hasattr(self.module, "example_inputs"):
            raise InputError(
                "nothing says what the inputs of this model are",
                path=self.name,
                fix="give the module a method example_inputs(batch), or pass --input-shape such as 3x64x64",
            )

    def __call__(self, at: At) -> tuple[Any, ...]:
        items = self._given(at) if self.shape is None or "batch" not in at else self._drawn(at, self.shape)
        return tuple(item.to(self.device, self.dtype if item.is_floating_point() else None) for item in items)

    def _drawn(self, at: At, shape: tuple[int, ...]) -> tuple[Any, ...]:
        shape = (at["seq"], *shape[1:]) if "seq" in at else shape
        generator = self.torch.Generator().manual_seed(self.seed)
        return (self.torch.randn(at["batch"], *shape, generator=generator),)

    def _given(self, at: At) -> tuple[Any, ...]:
        with self.torch.random.fork_rng(devices=[]):
            self.torch.manual_seed(self.seed)
            result = example(self.module, self.name, at)
        items = result if isinstance(result, tuple) else (result,)
        if not items or not all(isinstance(item, self.torch.Tensor) for item in items):
            problem = f"example_inputs({', '.join(map(str, at.values()))}) returned {type(result).__name__}"
            raise InputError(problem, path=self.name, fix="return a tensor, or a tuple of tensors")
        return items
