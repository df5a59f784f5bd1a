"""A torch model as it is timed: eager, compiled or as a CUDA graph; its computation alone, or each stage apart."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from calibration.subjects.base import At, Setting, Stage, Step, Target, Work, refuse
from calibration.subjects.torch_models import load_subject, load_torch, need_cuda
from simulator.errors import InputError, MeasurementError, first_line

_SHAPES = 10_000
"""That a compiled model may be compiled for."""


class TorchModel(Target):
    """A torch module with its inputs in place, in inference mode until it is closed."""

    boundary = "forward pass in inference mode, from the same inputs, already on the device, to outputs ready"

    def __init__(self, name: str, setting: Setting, made: Any = None) -> None:
        super().__init__(setting)
        refuse(setting, "a torch model", "device", "mode", "dtype", "input_shape", "stages")
        self.torch = torch = load_torch()
        if setting.device == "cuda":
            need_cuda(torch)
        if setting.mode == "cudagraph" and setting.device != "cuda":
            fix = "use --device cuda, or --mode eager or compile"
            raise InputError("a CUDA graph needs a CUDA GPU", path="--mode", fix=fix)
        self._held = ExitStack()
        self._held.callback(torch.set_num_threads, torch.get_num_threads())
        self._held.enter_context(torch.inference_mode())
        try:
            self._prepare(name, setting, made)
        except BaseException:
            self.close()
            raise

    def _prepare(self, name: str, setting: Setting, made: Any) -> None:
        self._model = load_subject(
            name,
            seed=setting.seed,
            device=setting.device,
            shape=setting.input_shape,
            dtype=setting.dtype,
            mode=setting.mode,
            made=made,
        )
        self.facts, self.axes = self._model.facts, self._model.axes
        if setting.stages and "batch" not in self.axes:
            raise InputError(f"the steps of {name} have no stages around them", path="--stages", fix="leave it out")
        self._run = self._model.module
        if setting.mode == "compile":
            # Each shape of the grid is compiled for itself, as a server does that knows its batch sizes.
            config = self.torch._dynamo.config
            # The second is the name of the first in older versions.
            limit = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
            self._held.enter_context(config.patch({limit: _SHAPES}))
            self._run = self.torch.compile(self._model.module, dynamic=False)

    def close(self) -> None:
        """Leaves torch as it was found."""
        self._held.close()

    def use_threads(self, count: int) -> None:
        """Torch takes another number between two calls."""
        self.torch.set_num_threads(count)

    def work(self, at: At) -> Work:
        """One forward pass, with what is around it where that is timed."""
        inputs = self._model.at(at)
        call = self._captured(inputs) if self.setting.mode == "cudagraph" else self._called
        return self._staged(at, inputs, call) if self.setting.stages else Work(inputs, call)

    def _called(self, inputs: tuple[Any, ...]) -> Any:
        return self._run(*inputs)

    def _captured(self, inputs: tuple[Any, ...]) -> Step:
        """The forward pass as a graph that is only launched: its inputs and outputs keep their places."""
        torch = self.torch
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(aside):
                for _ in range(3):  # what libraries set up at their first calls must not be captured
                    self._run(*inputs)
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                output = self._run(*inputs)
        except RuntimeError as error:
            said = first_line(error)
            raise MeasurementError(f"{self.facts.name} cannot be captured as a CUDA graph: {said}") from error

        def replay(_: tuple[Any, ...]) -> Any:
            graph.replay()
            return output

        return replay

    def _staged(self, at: At, inputs: tuple[Any, ...], call: Step) -> Work:
        """From requests in memory: making a batch of them, and where it runs on a GPU moving it there and back."""
        module = self._model.module
        requests: Any = [tuple(item[place].cpu() for item in inputs) for place in range(at["batch"])]
        own = hasattr(module, "preprocess") and hasattr(module, "example_requests")
        if own:
            requests = module.example_requests(*at.values())
        before: dict[Stage, Step] = {"preprocess": module.preprocess if own else self._collate}
        after: dict[Stage, Step] = {}
        if self.setting.device == "cuda":
            before["to_device"] = lambda batch: self._moved(batch, inputs)
            after["from_device"] = self._back
        if hasattr(module, "postprocess"):
            after["postprocess"] = module.postprocess
        return Work(requests, call, before, after)

    def _collate(self, requests: list[tuple[Any, ...]]) -> tuple[Any, ...]:
        return tuple(self.torch.stack(items) for items in zip(*requests, strict=True))

    def _moved(self, batch: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        items = batch if isinstance(batch, tuple) else (batch,)
        if self.setting.mode == "cudagraph":
            for place, item in zip(inputs, items, strict=True):
                place.copy_(item)
            return inputs
        return tuple(item.to("cuda") for item in items)

    def _back(self, output: Any) -> Any:
        if isinstance(output, self.torch.Tensor):
            return output.cpu()
        return type(output)(self._back(item) for item in output) if isinstance(output, list | tuple) else output
