"""Room for keys and values of an LLM engine where nobody told it: by arithmetic, from the model's shapes and the memory
of the machine. What the engine prints at its start is always better.
"""

from __future__ import annotations

from calibration.llm.hardware import Device, room
from calibration.llm.shapes import shapes
from scenarios.lookup import Files
from simulator.batching import LlmEngine
from simulator.errors import InputError
from simulator.llm.service import FittedSteps, LlmRoofline, Steps
from simulator.scenario import InstanceType, Scenario

ESTIMATED = "kv_tokens estimated"


def settled(scenario: Scenario, files: Files, name: str, machine: InstanceType) -> LlmEngine:
    """The engine of a pool on its machines, with its room for keys and values. Raises InputError."""
    pool = scenario.pools[name]
    assert isinstance(pool.batching, LlmEngine)
    engine = pool.batching.on(pool.instance)
    if engine.remark:
        files.remarks[f"{name}: the order of requests is {engine.remark}"] = None
    return engine if engine.kv_tokens is not None else _estimated(scenario, files, name, machine)


def estimated(law: Steps) -> Steps:
    """The same steps, whose figures are marked: the room of their engine is no more than an estimate."""
    if isinstance(law, LlmRoofline):
        times = law.times()
        context, pairs = law.per_1k_context / 1e3, law.per_1m_pairs / 1e6
        numbers = (times.weights, times.token, float(law.per_request), context, pairs)
        level = f"{law.level}, {ESTIMATED}"
        return FittedSteps(name="roofline", level=level, form="roofline", numbers=numbers, jitter=law.jitter)
    return law.model_copy(update={"level": f"{law.level}, {ESTIMATED}"})


def _estimated(scenario: Scenario, files: Files, name: str, machine: InstanceType) -> LlmEngine:
    pool, path = scenario.pools[name], f"pools.{name}.batching.kv_tokens"
    assert isinstance(pool.batching, LlmEngine)
    engine = pool.batching.on(pool.instance)
    called = next(key for key, model in scenario.models.items() if any(stage.pool == name for stage in model.stages))
    config = scenario.models[called].config_on(pool.instance)
    if config is None:
        more = f"or models.{called}.config, its config.json, for an estimate"
        raise InputError("is not given", path=path, fix=f"write what the engine prints when it starts, {more}")
    gpus = machine.accelerator
    if gpus is None or pool.per_machine > gpus.count:
        lacks = f"{pool.instance} has no GPU for each replica whose memory would tell it"
        raise InputError(f"is not given, and {lacks}", path=path, fix="write what the engine prints when it starts")
    degree = gpus.count // pool.per_machine
    try:
        found = room(
            shapes(files.path(config)),
            Device(gpus.memory, 0.0, 0.0),
            engine.step_tokens,
            engine.largest(),
            degree,
            engine.block_tokens,
        )
    except InputError as error:
        raise error.at(path=path) from None
    files.remarks[f"{name}: {found.remark}"] = None
    return engine.model_copy(update={"kv_tokens": (found.blocks + 1) * engine.block_tokens})
