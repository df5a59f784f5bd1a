"""What is measured: subjects, each a network in one number format and one mode, and the cells of their grids."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from calibration.networks import LARGE_NETWORKS, NETWORKS

ALL_NETWORKS = {**NETWORKS, **LARGE_NETWORKS}
DTYPES = ("float32", "bfloat16", "float16")
MODES = ("eager", "cudagraph", "compile")
STEPS = (
    *((0, decode, context) for decode in (1, 8, 32, 128) for context in (128, 1024, 4096) if decode * context <= 2**17),
    *((prefill, 0, 0) for prefill in (16, 128, 512, 2048)),
    *((prefill, decode, 1024) for prefill in (128, 512) for decode in (8, 64)),
)
"""Steps of a decoder: tokens to prefill, sequences to decode, tokens in the cache of each."""


@dataclass(frozen=True)
class Planned:
    """A subject, and the points at which it is measured."""

    network: str
    dtype: str
    mode: str
    points: tuple[dict[str, int], ...]

    @property
    def name(self) -> str:
        """As errors and files write it."""
        return f"{self.network}-{self.dtype}-{self.mode}"


def planned(
    networks: list[str], dtypes: list[str], modes: list[str], batches: list[int], steps: list[tuple[int, int, int]]
) -> tuple[Planned, ...]:
    """The subjects in the order in which they are built, those that take longest last.

    What is compiled for each shape by itself is compiled for every third batch size and in the last number format
    only, and decoders are not: otherwise compiling would take all the time there is. Raises ValueError.
    """
    _known("network", networks, tuple(ALL_NETWORKS))
    _known("number format", dtypes, DTYPES)
    _known("mode", modes, MODES)
    found = []
    for mode in sorted(modes, key=MODES.index):
        for name in networks:
            decodes = "decode" in ALL_NETWORKS[name].axes
            points = [dict(zip(("prefill", "decode", "context"), step, strict=True)) for step in sorted(set(steps))]
            if not decodes:
                thinned = sorted(set(batches))[:: 3 if mode == "compile" else 1]
                points = [{"batch": batch} for batch in thinned]
            if mode == "compile" and decodes:
                continue
            # Weights of a billion numbers are served in half the precision.
            fitting = dtypes[-1:] if mode == "compile" or name == "decoder-1b" else dtypes
            found += [Planned(name, dtype, mode, tuple(points)) for dtype in fitting]
    if not found:
        raise ValueError("nothing is left to measure: decoders are not compiled")
    return tuple(found)


def _known(what: str, names: list[str], known: tuple[str, ...]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{name!r} is no {what}; known: {', '.join(known)}")
    if len(set(names)) < len(names):
        raise ValueError(f"a {what} is named twice")


def written(subjects: tuple[Planned, ...]) -> list[dict[str, Any]]:
    """As the record keeps them."""
    return [{**asdict(subject), "points": list(subject.points)} for subject in subjects]
