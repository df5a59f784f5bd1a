"""Step times and room for keys and values by arithmetic, from data sheets and shapes: assumed, where nothing better is
known.
"""

from __future__ import annotations

from dataclasses import dataclass

from calibration.llm.roofline import NAMES, Numbers
from calibration.llm.shapes import Shapes
from simulator.errors import InputError

GIB = 1 << 30


@dataclass(frozen=True)
class Device:
    """One GPU, as its data sheet has it."""

    memory_bytes: float
    bandwidth: float
    """Bytes per second."""
    flops: float
    """Per second, dense, of the numbers that the model is made of."""


DATA_SHEETS = {
    "T4": Device(16 * GIB, 320e9, 65e12),
    "L4": Device(24 * GIB, 300e9, 121e12),
    "A10G": Device(24 * GIB, 600e9, 70e12),
    "L40S": Device(48 * GIB, 864e9, 362.05e12),
    "A100-40GB": Device(40 * GIB, 1555e9, 312e12),
    "A100-80GB": Device(80 * GIB, 2039e9, 312e12),
    "H100": Device(80 * GIB, 3350e9, 989e12),
    "H200": Device(141 * GIB, 4800e9, 989e12),
    "B200": Device(180 * GIB, 7700e9, 2250e12),
}
"""NVIDIA's, for 16-bit numbers without sparsity; A100 to B200 as SXM modules, under the names of the catalogue."""


@dataclass(frozen=True)
class Efficiency:
    """What is achieved of a data sheet, and what a sequence takes: as Qwen3-8B in bf16 has it on an H100 SXM."""

    weights: float = 0.67
    matrices: float = 0.66
    context: float = 0.90
    pairs: float = 0.60
    sequence_ns: float = 10_000.0


def assumed(shapes: Shapes, device: Device, degree: int = 1, efficiency: Efficiency | None = None) -> Numbers:
    """The numbers of a step on `degree` GPUs of tensor parallelism, without what these tell each other.

    A step is taken to read all experts, which is too much for a few tokens.
    """
    share = efficiency or Efficiency()
    read = shapes.weight_size * shapes.matrices(shapes.experts) / degree
    # Two operations for each number and token; four for each pair of tokens, by head and number of it.
    work = 2 * shapes.matrices(shapes.taken) / degree
    pair = 4 * shapes.layers * shapes.heads * shapes.head / degree
    return Numbers(
        weights=1e9 * read / (device.bandwidth * share.weights),
        token=1e9 * work / (device.flops * share.matrices),
        sequence=share.sequence_ns,
        context=1e9 * shapes.kv_bytes(degree) / (device.bandwidth * share.context),
        pair=1e9 * pair / (device.flops * share.pairs),
    )


def scaled(known: Numbers, there: Shapes, here: Shapes, device: Device, degree: int = 1) -> Numbers:
    """What is known of one model on a device, for another: in the ratio of what is assumed of both."""
    one, other = assumed(here, device, degree), assumed(there, device, degree)
    return known.moved([getattr(one, name) / getattr(other, name) for name in NAMES])


@dataclass(frozen=True)
class Memory:
    """What a GPU's memory is used for besides keys and values, as far as it is not known: rules of thumb."""

    utilisation: float = 0.90
    """vLLM's gpu_memory_utilization: 0.90, from 2026 on 0.92."""
    context_bytes: float = 0.65e9
    """CUDA's own, and the libraries' that GPUs talk with: 0.3 to 1 GB."""
    graph_bytes: float = 1e9
    """Captured graphs: 0.2 to 3 GB, counted by newer versions."""


@dataclass(frozen=True)
class Room:
    """How many blocks there are for keys and values, and how that is known."""

    blocks: int
    level: str
    remark: str


def room(
    shapes: Shapes,
    device: Device,
    max_num_batched_tokens: int,
    max_num_seqs: int,
    degree: int = 1,
    block_size: int = 16,
    memory: Memory | None = None,
) -> Room:
    """Blocks by arithmetic. The number that the engine prints is always better. Raises InputError if there is none."""
    uses = memory or Memory()
    width = max(2 * shapes.intermediate * shapes.taken / degree, shapes.heads * shapes.head / degree) + shapes.hidden
    peak = 3 * max_num_batched_tokens * width * shapes.number_bytes + 6 * max_num_seqs * shapes.vocabulary
    weights = shapes.weight_bytes() / degree
    left = uses.utilisation * device.memory_bytes - weights - peak - uses.context_bytes - uses.graph_bytes
    blocks = int(left // (block_size * shapes.kv_bytes(degree)))
    if blocks < 2:
        held = f"{weights / GIB:.1f} GiB of weights do not fit {device.memory_bytes / GIB:.0f} GiB a GPU"
        raise InputError(f"{held} with room for keys and values", fix="use more GPUs, or weights of fewer bytes")
    memory_each = f"from {uses.utilisation:.0%} of {degree} x {device.memory_bytes / GIB:g} GiB"
    remark = (
        f"room for {blocks * block_size:,} tokens is worked out {memory_each} and the model's shapes; this was 4 % "
        "too much for an 8B model on an H100, and errs more on small GPUs: give the number that the engine prints at "
        "its start (kv_tokens)"
    )
    return Room(blocks - 1, "assumed", remark)
