"""What a subject is: something that can be set up once and then called at any point of a grid."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from calibration.axes import AxisName
from calibration.environment import Environment, environment
from simulator.component import Record
from simulator.errors import InputError

Stage = Literal["preprocess", "to_device", "from_device", "postprocess"]
"""What happens around the computation; each is timed apart."""
Mode = Literal["eager", "compile", "cudagraph"]
Dtype = Literal["float32", "bfloat16", "float16"]
Clock = Literal["thread", "process", "children"]
"""Whose processor time is told: the calling thread's, the whole process's, or that of the processes it starts."""
At = Mapping[AxisName, int]
Step = Callable[[Any], Any]


class Subject(Record):
    """The facts of a model that a profile carries."""

    name: str
    origin: Literal["built-in", "factory", "onnx", "command", "http", "published"]
    description: str
    parameters: int | None = Field(None, ge=0)
    weights: str | None = None
    """Where the weights come from."""
    weights_sha256: str | None = None
    inputs: str
    """Shape of the inputs of a batch of n."""
    dtype: str
    mode: str
    """How the model runs: eager, compile, cudagraph, or the engine that served it."""


class Setting(Record):
    """How a subject is set up."""

    seed: int = Field(1, ge=0, lt=2**63)
    """Of random weights and of the inputs."""
    device: Literal["cpu", "cuda"] = "cpu"
    mode: Mode = "eager"
    dtype: Dtype | None = None
    """Of a torch model's weights and inputs; None leaves them as they are."""
    input_shape: tuple[int, ...] | None = Field(None, strict=False)
    """Of one input, without the batch."""
    body: str | None = None
    """File with the body of an HTTP request."""
    stages: bool = False
    """Whether the stages around the computation are timed too."""


@dataclass(frozen=True)
class Work:
    """What happens at one point of the grid: each step takes what the one before it returned."""

    inputs: Any
    """Of the first step."""
    compute: Step
    before: Mapping[Stage, Step] = field(default_factory=dict)
    after: Mapping[Stage, Step] = field(default_factory=dict)


class Target(ABC):
    """A subject that is set up and can be called."""

    facts: Subject
    axes: tuple[AxisName, ...] = ("batch",)
    """Along which it may be measured, besides its threads."""
    boundary: str
    """What is timed, in words."""
    libraries: tuple[str, ...] = ()
    """Distributions whose versions the times depend on."""
    torch: Any = None
    """The torch module, where the subject runs on it."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    @abstractmethod
    def work(self, at: At) -> Work:
        """What happens at a point. Raises InputError for one that the subject does not have."""

    def use_threads(self, count: int) -> None:
        """Lets the calls from now on use so many threads. Raises InputError where nobody can tell it that."""
        if count != 1:
            problem = f"{count} threads cannot be asked of {self.facts.name}"
            raise InputError(problem, path="--threads", fix="leave it out; what it does with threads is its own matter")

    def clock(self, threads: int) -> Clock:
        """Whose processor time is read: a thread's own clock misses the work of the other threads of a pool."""
        return "thread" if threads == 1 else "process"

    def environment(self, threads: int) -> Environment:
        """What the times depend on besides the model."""
        return environment(self.setting.device, threads, self.torch, self.libraries)

    def close(self) -> None:  # noqa: B027 - most have nothing to give back
        """Gives back what was held or changed."""


def parse_shape(text: str) -> tuple[int, ...]:
    """Sizes of one input without the batch, from a text such as `3x64x64`. Raises InputError."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}(x[1-9][0-9]{0,8})*", text):
        raise InputError(f"{text!r} is not an input shape", path="--input-shape", fix="write it such as 3x64x64")
    return tuple(int(size) for size in text.split("x"))


def refuse(setting: Setting, name: str, *allowed: str) -> None:
    """Refuses the settings that a kind of subject does not have, all but `allowed`. Raises InputError."""
    plain, options = Setting(), {"body": "--body", "device": "--device", "mode": "--mode", "dtype": "--dtype"}
    options |= {"input_shape": "--input-shape", "stages": "--stages"}
    for key, option in options.items():
        if key not in allowed and getattr(setting, key) != getattr(plain, key):
            raise InputError(f"{name} knows no such setting", path=option, fix="leave it out")
