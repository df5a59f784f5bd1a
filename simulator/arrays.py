"""Large arrays by value: they travel beside the data that names them and are known by their SHA-256."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import InstanceOf, PlainSerializer, WithJsonSchema

from simulator.streams import Integers


def digest(array: npt.NDArray[Any]) -> str:
    """SHA-256 of an array's type, shape and bytes."""
    head = f"{array.dtype.str}{array.shape}".encode()
    return f"sha256:{hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()}"


Array = Annotated[
    InstanceOf[np.ndarray],
    PlainSerializer(digest, return_type=str),
    WithJsonSchema({"type": "string", "description": "SHA-256 of an array kept beside the data"}),
]
"""A numpy array inside a record; written as its digest."""


@dataclass(frozen=True)
class Chains:
    """Rows of whole numbers, one after the other."""

    values: Integers
    begins: Integers
    """Where each row begins in `values`, and at last where the last one ends."""

    def rows(self, chosen: Integers, most: Integers) -> Chains:
        """Some rows, in that order, no longer than so many numbers each."""
        first = self.begins[chosen]
        lengths = np.minimum(self.begins[chosen + 1] - first, most)
        begins = np.concatenate([[0], np.cumsum(lengths)])
        places = np.arange(begins[-1]) + np.repeat(first - begins[:-1], lengths)
        return Chains(self.values[places], begins)
