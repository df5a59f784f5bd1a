"""Which weights a model has. Needs torch and the standard library alone: it also runs where nothing else is."""

from __future__ import annotations

import hashlib
from typing import Any


def weights_sha256(torch: Any, module: Any) -> str:
    """Digest of every parameter and buffer by name, type, shape and bytes."""
    whole = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        plain = tensor.detach().cpu().contiguous()
        whole.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
        whole.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return f"sha256:{whole.hexdigest()}"
