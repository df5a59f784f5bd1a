"""Large arrays by value: they travel beside the data that names them and are known by their SHA-256."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import InstanceOf, PlainSerializer, WithJsonSchema


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
