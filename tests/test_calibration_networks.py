import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import missing

from calibration.networks import LARGE_NETWORKS, NETWORKS

ROOT = Path(__file__).resolve().parents[1]
STEPS = (
    {"prefill": 0, "decode": 1, "context": 7},
    {"prefill": 5, "decode": 0, "context": 0},
    {"prefill": 5, "decode": 3, "context": 7},
)


@pytest.fixture(scope="module")
def torch() -> Any:
    if importlib.util.find_spec("torch") is None:
        missing("torch is not installed: pip install 'inference-headroom[calibration]'")
    return importlib.import_module("torch")


def built(torch: Any, name: str) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return NETWORKS[name].build().eval()


def points(name: str) -> tuple[dict[str, int], ...]:
    return STEPS if name == "decoder" else ({"batch": 1}, {"batch": 3})


@pytest.mark.parametrize("name", ["encoder", "cnn"])
def test_the_weights_are_those_of_the_shipped_profiles(torch: Any, name: str) -> None:
    whole = hashlib.sha256()
    for part, tensor in built(torch, name).state_dict().items():
        whole.update(f"{part} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        whole.update(tensor.numpy().tobytes())
    shipped = json.loads((ROOT / "calibration" / "profiles" / f"{name}-epyc-1t.json").read_text())["subject"]
    assert f"sha256:{whole.hexdigest()}" == shipped["weights_sha256"]
    assert NETWORKS[name].description == shipped["description"]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_network_answers_at_every_kind_of_point_in_its_own_type(torch: Any, name: str, dtype: str) -> None:
    kind = getattr(torch, dtype)
    module = built(torch, name).to(kind)
    for point in points(name):
        with torch.inference_mode():
            answer = module(*NETWORKS[name].inputs(point, dtype=kind))
        rows = point["batch"] if "batch" in point else point["decode"] + (point["prefill"] > 0)
        assert len(answer) == rows
        assert answer.dtype == kind
        assert torch.isfinite(answer).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_inputs_are_those_of_the_seed_and_leave_the_callers_randomness_alone(torch: Any, name: str) -> None:
    def drawn(seed: int) -> bytes:
        items = NETWORKS[name].inputs(points(name)[-1], seed=seed)
        return b"".join(item.numpy().tobytes() for item in items)

    torch.manual_seed(5)
    expected = torch.rand(1).item()
    torch.manual_seed(5)
    assert drawn(1) == drawn(1) != drawn(2)
    assert torch.rand(1).item() == expected


@pytest.mark.parametrize("name", ["ranker", "resnet", "mlp", "encoder"])
def test_the_requests_of_a_batch_do_not_touch_each_other(torch: Any, name: str) -> None:
    module, inputs = built(torch, name), NETWORKS[name].inputs({"batch": 3})
    with torch.inference_mode():
        together = module(*inputs)
        alone = module(*(item[1:2] for item in inputs))
    torch.testing.assert_close(together[1:2], alone)


def test_a_step_of_prefill_and_decode_gives_what_whole_sequences_give(torch: Any) -> None:
    module = built(torch, "decoder")
    layers, heads, width = 4, 2, 64

    def prefilled(words: Any) -> tuple[Any, Any]:
        cache = torch.zeros(layers, 2, heads, len(words), width)
        nothing = torch.zeros(layers, 2, 0, heads, 1, width)
        return module(words, words[:0], cache, nothing), cache

    with torch.inference_mode():
        words = torch.randint(4096, (2, 9), generator=torch.Generator().manual_seed(3))
        fresh = torch.randint(4096, (5,), generator=torch.Generator().manual_seed(4))
        cache = torch.zeros(layers, 2, 2, heads, 9, width)
        for place, sequence in enumerate(words):
            cache[:, :, place, :, :8] = prefilled(sequence[:8])[1]
        step = module(fresh, words[:, 8], torch.zeros(layers, 2, heads, 5, width), cache)
        whole = torch.cat([prefilled(sequence)[0] for sequence in (fresh, *words)])
        again = prefilled(words[0])[1]
    torch.testing.assert_close(step, whole)
    torch.testing.assert_close(cache[:, :, 0], again)


@pytest.mark.parametrize(
    ("name", "point", "problem"),
    [
        ("cnn", {}, "cnn is called at batch, not at {}"),
        ("cnn", {"batch": 1, "seq": 8}, "not at"),
        ("decoder", {"prefill": 0, "decode": 0, "context": 0}, "is no step"),
        ("decoder", {"prefill": 3, "decode": 0, "context": 8}, "is no step"),
        ("decoder", {"prefill": 0, "decode": 1, "context": 4096}, "beyond position 4095"),
    ],
)
def test_a_point_that_is_no_call_is_refused(torch: Any, name: str, point: dict[str, int], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        NETWORKS[name].inputs(point)


def test_the_encoder_takes_the_length_of_its_sequences(torch: Any) -> None:
    assert [len(NETWORKS["encoder"].inputs({"batch": 2, "seq": seq})[0][0]) for seq in (8, 64)] == [8, 64]
    assert NETWORKS["encoder"].inputs({"batch": 2})[0].shape == (2, 32, 256)


def test_large_networks_have_the_size_that_they_say(torch: Any) -> None:
    with torch.device("meta"):
        sizes = {name: sum(item.numel() for item in each.build().parameters()) for name, each in LARGE_NETWORKS.items()}
    # BERT-base without its embeddings and pooler; Llama 3.2 1B.
    assert sizes == {"encoder-base": 85_054_464, "decoder-1b": 1_235_814_400}
