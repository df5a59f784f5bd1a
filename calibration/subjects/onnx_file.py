"""`model.onnx`: an ONNX file run by onnxruntime on the processor, its inputs drawn by their types and shapes."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from calibration.files import read_whole, sha256
from calibration.subjects.base import At, Setting, Subject, Target, Work, refuse
from simulator.errors import InputError, MeasurementError, first_line

_FLOATS: dict[str, Any] = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
_WHOLE: dict[str, Any] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
}
_WHOLE["tensor(bool)"] = np.bool_


class OnnxFile(Target):
    """A model in an ONNX file. The first size of each input is the batch, an open second one the sequence."""

    axes = ("batch", "seq")
    boundary = "one run of the session, from arrays in memory to arrays in memory"
    libraries = ("onnxruntime", "numpy")

    def __init__(self, name: str, setting: Setting) -> None:
        super().__init__(setting)
        refuse(setting, "an ONNX file", "input_shape")
        self._runtime = load_onnxruntime()
        self._path = Path(name)
        self._content = read_whole(self._path, "ONNX file")
        self._sessions: dict[int, Any] = {}
        self.use_threads(1)
        inputs = self._session.get_inputs()
        self.facts = Subject(
            name=self._path.stem,
            origin="onnx",
            description=f"ONNX file {self._path.name}",
            weights="from the file",
            weights_sha256=sha256(self._content),
            inputs=", ".join("x".join(["n", *(str(size) for size in item.shape[1:])]) for item in inputs),
            dtype=inputs[0].type.removeprefix("tensor(").removesuffix(")") if inputs else "none",
            mode="onnxruntime",
        )

    def use_threads(self, count: int) -> None:
        """A session keeps its threads, so each number of them has its own."""
        if count not in self._sessions:
            options = self._runtime.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = count, 1
            try:
                self._sessions[count] = self._runtime.InferenceSession(
                    self._content, options, providers=["CPUExecutionProvider"]
                )
            except Exception as error:
                problem = f"onnxruntime cannot load it: {first_line(error)}"
                raise InputError(problem, file=self._path, fix="check the file with the onnx package") from None
        self._session = self._sessions[count]

    def work(self, at: At) -> Work:
        """One run of the session."""
        generator = np.random.default_rng(self.setting.seed)
        feed = {item.name: self._draw(item, at, generator) for item in self._session.get_inputs()}

        def run(fed: dict[str, Any]) -> Any:
            return self._session.run(None, fed)

        return Work(feed, run)

    def _draw(self, item: Any, at: At, generator: np.random.Generator) -> Any:
        shape = self._shape(item, at)
        if item.type in _FLOATS:
            return generator.standard_normal(shape).astype(_FLOATS[item.type])
        if item.type in _WHOLE:
            # Zeros and ones are tokens, masks and flags to any model.
            return generator.integers(0, 2, shape).astype(_WHOLE[item.type])
        fix = f"known: {', '.join([*_FLOATS, *_WHOLE])}"
        raise InputError(f"input {item.name} is a {item.type}", file=self._path, fix=fix)

    def _shape(self, item: Any, at: At) -> tuple[int, ...]:
        declared = list(item.shape)
        if not declared or (isinstance(declared[0], int) and declared[0] != at["batch"]):
            problem = f"input {item.name} has the fixed shape {declared}, not a batch of {at['batch']}"
            raise InputError(problem, file=self._path, path="--batches", fix="export it with an open first size")
        rest = declared[1:]
        if self.setting.input_shape:
            return (at["batch"], *self.setting.input_shape)
        if "seq" in at:
            if not rest or isinstance(rest[0], int):
                problem = f"input {item.name} has no open second size for a sequence"
                raise InputError(problem, file=self._path, path="--seq", fix="leave --seq out")
            rest[0] = at["seq"]
        if open_sizes := [size for size in rest if not isinstance(size, int)]:
            fix = "pass --seq for an open second size, or --input-shape such as 3x224x224"
            raise InputError(f"input {item.name} leaves {open_sizes[0]!r} open", file=self._path, fix=fix)
        return (at["batch"], *rest)


def load_onnxruntime() -> Any:
    """The onnxruntime module. Raises MeasurementError where it is not installed."""
    try:
        return importlib.import_module("onnxruntime")
    except ImportError:
        raise MeasurementError(
            "onnxruntime is not installed, so no ONNX file can be timed; pip install 'inference-headroom[onnx]'"
        ) from None
