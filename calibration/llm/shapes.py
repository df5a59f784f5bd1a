"""The shapes of a decoder model, from its config.json, and what follows from them by arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from calibration.importers.document import Document, Node
from simulator.errors import InputError

_BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "float8_e4m3fn": 1.0}

_LARGEST = 10**9
_FIX = "name the config.json of a decoder model"


@dataclass(frozen=True)
class Shapes:
    """Of a model whose layers are attention and a gated MLP, or experts that each are one."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head: int
    """Numbers of one head."""
    intermediate: int
    """Of the MLP, or of one expert."""
    vocabulary: int
    tied: bool = False
    """Whether head and embedding are the same numbers."""
    experts: int = 1
    taken: int = 1
    """Experts that each token takes."""
    number_bytes: float = 2.0
    """Of one number that is computed with; keys and values have as many."""
    weight_bits: float | None = None
    """Of one weight, where they are quantised."""

    @property
    def weight_size(self) -> float:
        """Bytes of one weight."""
        return self.number_bytes if self.weight_bits is None else self.weight_bits / 8

    def _attention(self) -> int:
        return 2 * self.hidden * self.head * (self.heads + self.kv_heads)

    def matrices(self, experts: int) -> int:
        """Numbers of all layers and the head, with so many experts: each multiplies every token."""
        expert = 3 * self.hidden * self.intermediate
        router = self.hidden * self.experts if self.experts > 1 else 0
        return self.layers * (self._attention() + router + experts * expert) + self.hidden * self.vocabulary

    def weight_bytes(self) -> float:
        """All weights."""
        embedding = 0 if self.tied else self.hidden * self.vocabulary
        return self.weight_size * self.matrices(self.experts) + self.number_bytes * embedding

    def kv_heads_each(self, degree: int) -> int:
        """Of each of so many GPUs: heads are copied where there are fewer."""
        return max(1, -(-self.kv_heads // degree))

    def kv_bytes(self, degree: int, number_bytes: float | None = None) -> float:
        """Of a token's keys and values, on each of so many GPUs."""
        return 2 * self.layers * self.kv_heads_each(degree) * self.head * (number_bytes or self.number_bytes)


def shapes(path: Path) -> Shapes:
    """What a config.json as Hugging Face writes it says. Raises InputError."""
    config = Document(path).json()
    config = config.find("text_config") or config
    hidden, heads = _size(config, "hidden_size"), _size(config, "num_attention_heads")
    experts = _size(config, "num_experts", "num_local_experts", "n_routed_experts", otherwise=1)
    each = ("moe_intermediate_size", "intermediate_size") if experts > 1 else ("intermediate_size",)
    dtype = config.find("dtype") or config.find("torch_dtype")
    if dtype is not None and dtype.text() not in _BYTES:
        raise dtype.fail(f"{dtype.text()!r} is none of {', '.join(_BYTES)}", _FIX)
    return Shapes(
        layers=_size(config, "num_hidden_layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=_size(config, "num_key_value_heads", otherwise=heads),
        head=_size(config, "head_dim", otherwise=max(1, hidden // heads)),
        intermediate=_size(config, *each),
        vocabulary=_size(config, "vocab_size"),
        tied=config.value.get("tie_word_embeddings") is True,
        experts=experts,
        taken=min(experts, _size(config, "num_experts_per_tok", otherwise=1)),
        number_bytes=2.0 if dtype is None else _BYTES[dtype.text()],
        weight_bits=_weight_bits(config),
    )


def _weight_bits(config: Node) -> float | None:
    """Of a quantised model. Raises InputError."""
    found = config.find("quantization_config")
    if found is None:
        return None
    if (bits := found.find("bits")) is not None:
        if not 1 <= bits.number() <= 32:
            raise bits.fail(f"{bits.value} is not from 1 to 32", _FIX)
        return float(bits.number())
    method = found.at("quant_method").text()
    if method in ("fp8", "fbgemm_fp8"):
        return 8.0
    for bits_each in (4, 8):
        if found.value.get(f"load_in_{bits_each}bit") is True:
            return float(bits_each)
    raise found.fail(f"quant_method {method!r} does not tell the bits of a weight", "add bits: 8, or 4")


def _size(config: Node, *names: str, otherwise: int | None = None) -> int:
    """The first of the names that is there. Raises InputError."""
    found = next((node for name in names if (node := config.find(name)) is not None), None)
    if found is None:
        if otherwise is None:
            raise InputError("is missing", file=config.file, path=names[0], fix=_FIX)
        return otherwise
    if not 0 < found.number() <= _LARGEST:
        raise found.fail(f"{found.value} is not from 1 to {_LARGEST}", _FIX)
    return found.count()
