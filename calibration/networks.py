"""The built-in torch models, and the inputs of a call of each at any point of its axes.

Plain Python that imports nothing of Headroom and torch only when a model is built, so that the file also works on
a machine that has torch and nothing else. Weights are drawn from torch's own generator, in the order in which the
layers are built: whoever builds a model seeds torch first. Inputs are drawn from a generator of their own.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Draw = Callable[[Any, Any, Mapping[str, int]], tuple[Any, ...]]
"""(torch, generator, point) -> the inputs of one call, in float32 on the CPU."""


@dataclass(frozen=True)
class Network:
    """A model by name: how it is built, and what it is called with."""

    name: str
    description: str
    axes: tuple[str, ...]
    """What a point must say: batch, or prefill, decode and context."""
    build: Callable[[], Any]
    """A new `nn.Module` in float32 on the CPU, its weights drawn from torch's own generator."""
    draw: Draw
    usual: Mapping[str, int] = field(default_factory=dict)
    """Axes that a point may leave out, and what they are then."""

    def inputs(
        self, point: Mapping[str, int], *, seed: int = 1, device: str = "cpu", dtype: Any = None
    ) -> tuple[Any, ...]:
        """The inputs of one call at a point, the same for the same seed; whole numbers keep their type.

        Raises ValueError for a point that is not on the axes of this model or cannot be called.
        """
        if not set(self.axes) <= set(point) <= {*self.axes, *self.usual}:
            raise ValueError(f"{self.name} is called at {', '.join((*self.axes, *self.usual))}, not at {dict(point)}")
        torch = _torch()
        generator = torch.Generator().manual_seed(seed)
        drawn = self.draw(torch, generator, {**self.usual, **point})
        return tuple(_placed(item, device, dtype if item.is_floating_point() else None) for item in drawn)


def _placed(item: Any, device: str, dtype: Any) -> Any:
    # What was drawn once for all sequences is moved once, and repeated where it is needed.
    once = item[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in item.stride())]
    return once.to(device, dtype).expand(item.shape).contiguous()


def _torch() -> Any:
    return importlib.import_module("torch")


def _images(size: int) -> Draw:
    return lambda torch, drawn, at: (torch.randn(at["batch"], 3, size, size, generator=drawn),)


def _rows(width: int) -> Draw:
    return lambda torch, drawn, at: (torch.randn(at["batch"], width, generator=drawn),)


def _embedded(width: int) -> Draw:
    return lambda torch, drawn, at: (torch.randn(at["batch"], at["seq"], width, generator=drawn),)


def _encoder(layers: int, width: int, heads: int) -> Any:
    nn = _torch().nn
    layer = nn.TransformerEncoderLayer(d_model=width, nhead=heads, dim_feedforward=4 * width, batch_first=True)
    return nn.TransformerEncoder(layer, num_layers=layers, enable_nested_tensor=False)


def _cnn() -> Any:
    nn = _torch().nn
    layers = []
    for channels, filters in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(channels, filters, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers[-1] = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 10))


def _mlp() -> Any:
    nn = _torch().nn
    layers = (nn.Linear(512, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 512), nn.ReLU())
    return nn.Sequential(*layers, nn.Linear(512, 1))


def _resnet() -> Any:
    nn = _torch().nn

    def normed(channels: int, filters: int, size: int, stride: int) -> Any:
        convolution = nn.Conv2d(channels, filters, size, stride, padding=size // 2, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(filters))

    class Block(nn.Module):  # type: ignore[misc, name-defined]  # torch is Any to mypy
        def __init__(self, channels: int, filters: int, stride: int) -> None:
            super().__init__()
            self.first = normed(channels, filters, 3, stride)
            self.second = normed(filters, filters, 3, 1)
            self.around = normed(channels, filters, 1, stride) if (channels, stride) != (filters, 1) else nn.Identity()
            self.relu = nn.ReLU()

        def forward(self, x: Any) -> Any:
            return self.relu(self.second(self.relu(self.first(x))) + self.around(x))

    blocks = [Block(24, 24, 1), Block(24, 48, 2), Block(48, 96, 2), Block(96, 192, 2)]
    return nn.Sequential(
        normed(3, 24, 3, 2), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(192, 10)
    )


_TABLES, _IDS, _PER_BAG, _DENSE = 8, 10_000, 4, 13


def _ranker() -> Any:
    """The shape of DLRM (Naumov et al. 2019): dense features and embedding bags meet in pairwise products."""
    torch = _torch()
    nn = torch.nn
    width, features = 32, _TABLES + 1

    class Ranker(nn.Module):  # type: ignore[misc, name-defined]  # torch is Any to mypy
        def __init__(self) -> None:
            super().__init__()
            self.tables = nn.ModuleList(nn.EmbeddingBag(_IDS, width, mode="sum") for _ in range(_TABLES))
            self.bottom = nn.Sequential(nn.Linear(_DENSE, 128), nn.ReLU(), nn.Linear(128, width), nn.ReLU())
            pairs = features * (features - 1) // 2
            top = (nn.Linear(width + pairs, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 1))
            self.top = nn.Sequential(*top)
            first, second = torch.tril_indices(features, features, offset=-1)
            self.register_buffer("first", first, persistent=False)
            self.register_buffer("second", second, persistent=False)

        def forward(self, dense: Any, ids: Any) -> Any:
            bottom = self.bottom(dense)
            bags = [table(ids[:, place]) for place, table in enumerate(self.tables)]
            rows = torch.stack((bottom, *bags), dim=1)
            products = torch.bmm(rows, rows.transpose(1, 2))[:, self.first, self.second]
            return self.top(torch.cat((bottom, products), dim=1))

    return Ranker()


def _ranked(torch: Any, drawn: Any, at: Mapping[str, int]) -> tuple[Any, ...]:
    dense = torch.randn(at["batch"], _DENSE, generator=drawn)
    return dense, torch.randint(_IDS, (at["batch"], _TABLES, _PER_BAG), generator=drawn)


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder. `heads` share `kv_heads` keys and values; `longest` is its last position plus one."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    hidden: int
    vocabulary: int
    longest: int

    @property
    def head(self) -> int:
        """Width of a head."""
        return self.width // self.heads


def _decoder(shape: Shape) -> Any:
    """A decoder as Llama has it: RMSNorm, rotary positions, grouped queries, SwiGLU, tied embeddings.

    One call is one step of an engine that batches continuously: a chunk of a new sequence is prefilled while other
    sequences decode a token each. The tokens of both go through the linear layers together, attention is their own.
    `forward(prompt, tokens, prompt_cache, cache)` takes prompt (prefill), tokens (decode), prompt_cache (layer, 2,
    kv head, prefill, head), which it fills, and cache (layer, 2, decode, kv head, context + 1, head), whose last
    place it writes; it returns the logits of the prompt's last token, if there is a prompt, and of every decoded one.
    """
    torch = _torch()
    nn, attention = torch.nn, torch.nn.functional.scaled_dot_product_attention

    class Layer(nn.Module):  # type: ignore[misc, name-defined]  # torch is Any to mypy
        def __init__(self) -> None:
            super().__init__()
            keys = shape.kv_heads * shape.head
            self.before, self.after = nn.RMSNorm(shape.width), nn.RMSNorm(shape.width)
            self.qkv = nn.Linear(shape.width, shape.width + 2 * keys, bias=False)
            self.out = nn.Linear(shape.width, shape.width, bias=False)
            self.gate_up = nn.Linear(shape.width, 2 * shape.hidden, bias=False)
            self.down = nn.Linear(shape.hidden, shape.width, bias=False)

        def forward(self, x: Any, turns: tuple[Any, Any], prompt_cache: Any, cache: Any) -> Any:
            x = x + self.out(self.attend(self.before(x), turns, prompt_cache, cache))
            gate, up = self.gate_up(self.after(x)).chunk(2, dim=-1)
            return x + self.down(nn.functional.silu(gate) * up)

        def attend(self, x: Any, turns: tuple[Any, Any], prompt_cache: Any, cache: Any) -> Any:
            turned, kept = shape.heads + shape.kv_heads, shape.kv_heads
            heads = self.qkv(x).view(len(x), turned + kept, shape.head)
            places = torch.cat((rotated(heads[:, :turned], *turns), heads[:, turned:]), dim=1)
            prefill, mixed = prompt_cache.shape[2], []
            if prefill:
                query, key, value = places[:prefill].transpose(0, 1).split((shape.heads, kept, kept))
                prompt_cache[0], prompt_cache[1] = key, value
                # Attention of one length for all heads: each key and value serves its group of queries.
                key, value = (item.repeat_interleave(shape.heads // kept, dim=0) for item in (key, value))
                mixed.append(attention(query[None], key[None], value[None], is_causal=True)[0].transpose(0, 1))
            if len(x) > prefill:
                query, key, value = places[prefill:].split((shape.heads, kept, kept), dim=1)
                cache[0, :, :, -1], cache[1, :, :, -1] = key, value
                # A token sees its whole past, so the queries of a group may stand where the tokens of a prompt would.
                query = query.reshape(-1, kept, shape.heads // kept, shape.head)
                mixed.append(attention(query, cache[0], cache[1]).reshape(-1, shape.heads, shape.head))
            return torch.cat(mixed).flatten(1)

    def rotated(heads: Any, cosine: Any, sine: Any) -> Any:
        left, right = heads.chunk(2, dim=-1)
        return heads * cosine + torch.cat((-right, left), dim=-1) * sine

    class Decoder(nn.Module):  # type: ignore[misc, name-defined]  # torch is Any to mypy
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(shape.vocabulary, shape.width)
            nn.init.normal_(self.embedding.weight, std=0.02)
            self.layers = nn.ModuleList(Layer() for _ in range(shape.layers))
            self.norm = nn.RMSNorm(shape.width)
            pace = 10_000.0 ** (-torch.arange(0, shape.head, 2) / shape.head)
            angles = torch.outer(torch.arange(shape.longest), pace).repeat(1, 2)[:, None]
            self.register_buffer("cosine", angles.cos(), persistent=False)
            self.register_buffer("sine", angles.sin(), persistent=False)

        def forward(self, prompt: Any, tokens: Any, prompt_cache: Any, cache: Any) -> Any:
            prefill, decode, place = len(prompt), len(tokens), cache.shape[4] - 1
            turns = tuple(
                torch.cat((table[:prefill], table[place : place + 1].expand(decode, -1, -1)))
                for table in (self.cosine, self.sine)
            )
            x = self.embedding(torch.cat((prompt, tokens)))
            for number, layer in enumerate(self.layers):
                x = layer(x, turns, prompt_cache[number], cache[number])
            return self.norm(x[max(prefill - 1, 0) :]) @ self.embedding.weight.T

    return Decoder()


def _stepping(shape: Shape) -> Draw:
    def draw(torch: Any, drawn: Any, at: Mapping[str, int]) -> tuple[Any, ...]:
        prefill, decode, context = at["prefill"], at["decode"], at["context"]
        if min(prefill, decode, context) < 0 or prefill + decode == 0 or (context and not decode):
            raise ValueError(f"prefill {prefill}, decode {decode}, context {context} is no step of a decoder")
        if max(prefill, context + 1) > shape.longest:
            raise ValueError(f"prefill {prefill}, context {context} goes beyond position {shape.longest - 1}")
        words = torch.randint(shape.vocabulary, (prefill + decode,), generator=drawn)
        filled = torch.zeros(shape.layers, 2, shape.kv_heads, prefill, shape.head)
        # One past for all: drawing each token of thousands would take longer than measuring.
        past = torch.randn(shape.layers, 2, 1, shape.kv_heads, context + 1, shape.head, generator=drawn)
        return words[:prefill], words[prefill:], filled, past.expand(-1, -1, decode, -1, -1, -1)

    return draw


def _batched(name: str, description: str, build: Callable[[], Any], draw: Draw, **usual: int) -> Network:
    return Network(name, description, ("batch",), build, draw, usual)


def _stepped(name: str, called: str, shape: Shape) -> Network:
    sizes = f"{shape.layers} layers, width {shape.width}, {shape.heads} heads on {shape.kv_heads} keys"
    description = f"{called}: {sizes}, {shape.vocabulary} words"
    return Network(name, description, ("prefill", "decode", "context"), lambda: _decoder(shape), _stepping(shape))


def _named(*networks: Network) -> dict[str, Network]:
    return {network.name: network for network in networks}


_ENCODER = "transformer encoder: 2 layers, width 256, 4 heads, feed-forward 1024, 32 tokens"
_CNN = "convolutional network: 3 layers of 16, 32 and 64 filters on 64x64 images of 3 channels"
_MLP = "dense network: 512 features, layers of 1024, 1024, 512 and 1"
_RESNET = "residual convolutional network: 10 layers with batch norm, 24 to 192 filters on 64x64 images of 3 channels"
_RANKER = "ranking network: 8 embedding bags of 4 ids and 13 dense features, pairwise products, dense top"
_SMALL = Shape(layers=4, width=256, heads=4, kv_heads=2, hidden=688, vocabulary=4096, longest=4096)
NETWORKS = _named(
    _batched("encoder", _ENCODER, lambda: _encoder(2, 256, 4), _embedded(256), seq=32),
    _batched("cnn", _CNN, _cnn, _images(64)),
    _batched("mlp", _MLP, _mlp, _rows(512)),
    _batched("resnet", _RESNET, _resnet, _images(64)),
    _batched("ranker", _RANKER, _ranker, _ranked),
    _stepped("decoder", "decoder with KV cache", _SMALL),
)
"""Small enough that one processor core runs a batch of 32 within a tenth of a second."""

_BASE = "transformer encoder as large as BERT-base: 12 layers, width 768, 12 heads, feed-forward 3072, 128 tokens"
_1B = Shape(layers=16, width=2048, heads=32, kv_heads=8, hidden=8192, vocabulary=128_256, longest=8192)
LARGE_NETWORKS = _named(
    _batched("encoder-base", _BASE, lambda: _encoder(12, 768, 12), _embedded(768), seq=128),
    _stepped("decoder-1b", "decoder with KV cache, as large as Llama 3.2 1B", _1B),
)
"""Large enough that an accelerator has something to do."""
