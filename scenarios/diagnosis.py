"""Rules that say in a sentence why a model takes its time. Each is a function of plain numbers, or None: not so."""

from __future__ import annotations

import re
from collections.abc import Mapping

MUCH = 0.2
"""A part of the time that is worth a sentence."""
BUSY = 0.7
"""A device or a processor that is busy for less is under-used."""
SCALES = 0.8
"""Time for each item of a large batch over that at a small one: below, larger batches pay."""
FEW_FLOP = 4.0
"""FLOP for each byte read: processors and accelerators of today do more before their memory limits them."""

_GROUPS = (
    ("convolutions", r"conv"),
    ("attention", r"attention|attn|flash|sdpa"),
    ("linear layers", r"linear|addmm|(^|_)mm$|gemm"),
    ("batched matrix products", r"bmm|matmul"),
    ("normalisation", r"norm(?!al)"),
    ("random numbers", r"rand|normal_|uniform_"),
    ("embedding look-ups", r"embedding|index_select|gather"),
    ("pooling", r"pool"),
    ("activations", r"relu|gelu|silu|sigmoid|tanh|softmax"),
    ("copies", r"copy|clone|contiguous|^cat$|memcpy|^to$"),
    ("waiting for the device", r"Synchronize"),
    ("kernel launches", r"Launch"),
)


def plain(name: str) -> str:
    """The name of an operator without its library's."""
    return name.rpartition("::")[2] if re.fullmatch(r"\w+::\w+", name) else name


def group(name: str) -> str:
    """What an operator does, in words; its own name where that is not known."""
    short = plain(name)
    return next((words for words, pattern in _GROUPS if re.search(pattern, short)), short)


def where_it_goes(shares: Mapping[str, float]) -> tuple[str, float, dict[str, float]]:
    """The group of operators that takes most: its name, its share, and the shares of its members, largest first."""
    groups: dict[str, dict[str, float]] = {}
    for name, share in sorted(shares.items(), key=lambda item: -item[1]):
        groups.setdefault(group(name), {})[plain(name)] = share
    words, members = max(groups.items(), key=lambda item: sum(item[1].values()))
    return words, sum(members.values()), members


def loading(load_share: float) -> str | None:
    """Whether making the inputs holds the model up."""
    if load_share < MUCH:
        return None
    return f"Making the inputs takes {load_share:.0%} of a call: load ahead, in other threads or processes."


def device_use(
    busy: float, copying: float, host: float, waiting: float, load: float, launches: float, launch_ns: int | None
) -> str:
    """Whether the device is under-used, and what holds it up. Shares of the wall time; launches of one call."""
    idle = max(0.0, 1 - busy - copying)
    if busy >= BUSY:
        return f"The device is busy {busy:.0%} of the time: it is what limits."
    if copying >= MUCH and copying >= idle:
        return f"The device computes {busy:.0%} of the time and copies {copying:.0%}: move less, or while it computes."
    told = f"The device is idle {idle:.0%} of the time"
    if load >= idle / 2:
        return f"{told}: it waits for inputs; load ahead, in other threads or processes."
    if launch_bound(busy, host, waiting):
        each = f" ({launches:.0f} a call, {launch_ns / 1e3:.1f} µs each)" if launch_ns else ""
        return f"{told}: launches{each} and the host hold it up; larger batches, CUDA graphs or torch.compile help."
    return f"{told}: the host is outside PyTorch then, or waits for something else."


def launch_bound(busy: float, host: float, waiting: float) -> bool:
    """Whether the host is at work, not waiting for the device, for more of the time than the device is."""
    return host - waiting > busy


def processor_use(busy: float, threads: int) -> str:
    """Whether the threads of a model on a processor are under-used; `busy` is their share of the time."""
    whose = "Its thread is" if threads == 1 else f"Its {threads} threads are"
    if busy >= BUSY:
        return f"{whose} busy {busy:.0%} of the time: the processor is what limits."
    if threads == 1:
        return f"{whose} busy only {busy:.0%} of the time: it waits, or other work holds the processor."
    return f"{whose} busy only {busy:.0%} of the time: fewer threads for each of more replicas would use it better."


def outside(host_share: float) -> str | None:
    """Whether much of the time of a model on a processor passes outside its operators."""
    if 1 - host_share < MUCH:
        return None
    return (
        f"{1 - host_share:.0%} of the time passes outside operators, in Python: larger batches or torch.compile help."
    )


def memory_bound(name: str, flops: int | None, bytes_read: int | None) -> str | None:
    """Whether memory is likely to limit an operator: a guess, and none where FLOP or bytes are not known."""
    if not flops or not bytes_read or flops / bytes_read >= FEW_FLOP:
        return None
    return (
        f"{plain(name)} does at most {flops / bytes_read:.2g} FLOP for each byte that it reads: memory probably limits "
        "it, so larger batches or a smaller type of weights help."
    )


def scaling(small: int, small_ns: float, large: int, large_ns: float) -> str | None:
    """Whether larger batches pay, from the times of a call at two batch sizes."""
    if large <= small or small_ns <= 0:
        return None
    slower, each = large_ns / small_ns, (large_ns / large) / (small_ns / small)
    told = f"A batch of {large} takes {slower:.1f} times as long as one of {small}"
    if each <= SCALES:
        return f"{told}, {1 - each:.0%} less for each item: larger batches help."
    return f"{told}: larger batches gain little."
