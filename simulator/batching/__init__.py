"""Batching: policies that look at what waits, and the rules of named servers, one file each."""

from simulator.batching.base import (
    ALONE,
    DUE,
    FREE,
    FROZEN,
    FULL,
    MERGED,
    NEVER,
    PREFERRED,
    REASONS,
    WAIT,
    Batching,
    Host,
    Policy,
    Rule,
    Scheduler,
    Timer,
    Total,
)
from simulator.batching.bentoml import BentoML
from simulator.batching.continuous import Continuous
from simulator.batching.kserve import KServe
from simulator.batching.litserve import LitServe
from simulator.batching.llm_engine import LlmEngine
from simulator.batching.mosec import Mosec
from simulator.batching.ray import Ray
from simulator.batching.sglang import SgLang
from simulator.batching.simple import Dynamic, Greedy, NoBatching, Static
from simulator.batching.tensorrt_llm import TensorRtLlm
from simulator.batching.tfserving import TfServing
from simulator.batching.torchserve import TorchServe
from simulator.batching.transformers import Transformers
from simulator.batching.triton import Triton

__all__ = [
    "ALONE",
    "DUE",
    "FREE",
    "FROZEN",
    "FULL",
    "MERGED",
    "NEVER",
    "PREFERRED",
    "REASONS",
    "WAIT",
    "Batching",
    "BentoML",
    "Continuous",
    "Dynamic",
    "Greedy",
    "Host",
    "KServe",
    "LitServe",
    "LlmEngine",
    "Mosec",
    "NoBatching",
    "Policy",
    "Ray",
    "Rule",
    "Scheduler",
    "SgLang",
    "Static",
    "TensorRtLlm",
    "TfServing",
    "Timer",
    "TorchServe",
    "Total",
    "Transformers",
    "Triton",
]
