"""A model in the style of scikit-learn: whatever a factory returns that has a method `predict`."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any

import numpy as np

from calibration.environment import Environment, environment
from calibration.subjects.base import At, Setting, Subject, Target, Work, refuse
from calibration.subjects.factory import example
from simulator.errors import InputError, MeasurementError


class Estimator(Target):
    """An object with `predict`; its inputs are those of its `example_inputs(batch)`, or rows of its features."""

    boundary = "one call of predict, from an array in memory to its answer"

    def __init__(self, name: str, made: Any, setting: Setting) -> None:
        super().__init__(setting)
        refuse(setting, "a model with predict", "input_shape")
        self._name, self._made, self._limits = name, made, None
        self._shape = setting.input_shape or ((features,) if (features := getattr(made, "n_features_in_", 0)) else None)
        if self._shape is None and not hasattr(made, "example_inputs"):
            raise InputError(
                "nothing says what the inputs of this model are",
                path=name,
                fix="fit it, give it a method example_inputs(batch), or pass --input-shape such as 20",
            )
        first = self._inputs(1)
        self.facts = Subject(
            name=name,
            origin="factory",
            description=f"{type(made).__name__} of {name}",
            weights="from the factory",
            inputs="x".join(["n", *(str(size) for size in np.shape(first)[1:])]),
            dtype=str(getattr(first, "dtype", type(first).__name__)),
            mode="predict",
        )

    def _inputs(self, batch: int) -> Any:
        if self._shape is None:
            return example(self._made, self._name, {"batch": batch})
        return np.random.default_rng(self.setting.seed).standard_normal((batch, *self._shape))

    def work(self, at: At) -> Work:
        """One call of predict."""
        return Work(self._inputs(at["batch"]), self._made.predict)

    def environment(self, threads: int) -> Environment:
        """With the version of the package that the model's class is of."""
        package = type(self._made).__module__.split(".")[0]
        libraries = dict.fromkeys([*metadata.packages_distributions().get(package, ())[:1], "numpy"])
        return environment("cpu", threads, libraries=tuple(libraries))

    def use_threads(self, count: int) -> None:
        """Limits the pools of BLAS and OpenMP in this process; threads that a model starts itself are its own."""
        self.close()
        try:
            pools = importlib.import_module("threadpoolctl")
        except ImportError:
            raise MeasurementError(
                "threadpoolctl is not installed, so nothing limits the threads of predict; pip install threadpoolctl"
            ) from None
        self._limits = pools.threadpool_limits(count)

    def close(self) -> None:
        """Lets BLAS and OpenMP use what they used before."""
        if self._limits is not None:
            self._limits.restore_original_limits()
            self._limits = None
