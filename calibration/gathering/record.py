"""The record that `calibration.standalone` keeps of a measurement, facts.json, as data."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from calibration.axes import AxisName
from calibration.environment import Cpu, Environment, Gpu, Loads, TorchFacts
from simulator.component import Record

Counter = Annotated[int, Field(ge=0)]


class Planned(Record):
    """A subject as it was asked for."""

    network: str
    dtype: str
    mode: str
    points: Annotated[list[dict[AxisName, Counter]], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(list(point) != list(self.points[0]) for point in self.points):
            raise ValueError("the points do not lie on the same axes")
        return self


class Made(Record):
    """A subject as a process made it."""

    subject: Counter
    description: str
    parameters: Counter
    weights: str
    weights_sha256: str
    inputs: str
    build_ns: Counter
    first_call_ns: Counter | None = None
    warm_up_ns: Counter | None = None
    held_bytes: list[int] = Field(default_factory=list)
    peak_bytes: list[int] = Field(default_factory=list)


class Clock(Record):
    """The wall clock of a process."""

    name: str
    resolution_ns: Counter
    overhead_ns: Counter


class LeftOut(Record):
    """A cell that a process could not measure, and why."""

    subject: str
    point: dict[AxisName, int] | None
    why: str


class Host(Record):
    """The host at a moment; see `calibration.environment.Probe`."""

    at_ns: int
    loadavg: Loads | None
    total_s: float | None
    busy_s: float | None
    steal_s: float | None
    own_s: float
    pressure_us: int | None
    throttled_us: int | None
    cpu_mhz: float | None


class Accelerator(Gpu):
    """What a profile says of a GPU, and more."""

    persistence: bool | None
    highest_sm_clock: str | None
    id_sha256: str


class Surroundings(Record):
    """What the times depend on besides the models."""

    device: Literal["cpu", "cuda"]
    threads: int = Field(ge=1)
    cpu: Cpu
    gpu: Accelerator | None
    os: str
    python: str
    libraries: dict[str, str]
    torch: TorchFacts
    numerics: dict[str, bool | list[str]]
    variables: dict[str, str]
    code_sha256: str

    def environment(self) -> Environment:
        """As profiles have it."""
        # What torch was told of its kernels steers them as much as a variable does.
        steering = {
            f"torch {key}": " ".join(value) if isinstance(value, list) else str(value)
            for key, value in self.numerics.items()
        }
        gpu = Gpu(**{name: getattr(self.gpu, name) for name in Gpu.model_fields}) if self.gpu else None
        kept = {
            name: getattr(self, name) for name in ("device", "threads", "cpu", "os", "python", "libraries", "torch")
        }
        return Environment(**kept, gpu=gpu, variables=self.variables | steering)


class Slice(Record):
    """What one process did."""

    started_utc: str
    finished_utc: str
    stop: str
    rounds: Counter
    rounds_asked: Counter
    import_ns: Counter
    clock: Clock
    host: Annotated[list[Host], Field(min_length=1)]
    readings_by: str
    subjects: list[Made]
    left_out: list[LeftOut]


class Facts(Record):
    """The whole of facts.json."""

    format: int
    subjects: Annotated[list[Planned], Field(min_length=1)]
    seed: int
    protocol: dict[str, str]
    environment: Surroundings
    rounds: Counter
    slices: list[Slice]
    bytes: dict[str, Counter]
