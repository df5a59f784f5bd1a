from pathlib import Path

import pytest

from calibration.importers import read_timings
from calibration.profile import load_profile, profile_text, shipped_profiles
from simulator.errors import InputError

HEAD = (
    "model,gpu,scenario,backend,client_batch,avg_ms,p99_ms,source,suspect_row,"
    "backend_accelerator,precision,model_format,n_model_instances,max_batch_size,heading,licence"
)


@pytest.fixture
def figures(shared_data: Path) -> Path:
    return shared_data / "calibration" / "triton_offline_batch_latency.csv"


def test_the_shipped_profiles_are_those_of_the_figures(figures: Path) -> None:
    made = {profile.name: profile_text(profile) for profile in read_timings(figures)}
    shipped = {
        name: path.read_text() for name, path in shipped_profiles().items() if load_profile(path).level == "published"
    }
    assert made == shipped


# Facts of NVIDIA/DeepLearningExamples, PyTorch/Classification/ConvNets/triton/resnet50/README.md: mean and p99
# latency in ms of ResNet-50 with FP16 TensorRT in ONNX Runtime on a T4.
@pytest.mark.parametrize(("batch", "mean", "p99"), [(1, 3.003, 3.189), (8, 8.998, 9.065), (128, 100.155, 103.177)])
def test_the_published_mean_and_tail_are_kept(batch: int, mean: float, p99: float) -> None:
    table = load_profile(shipped_profiles()["resnet50-t4"]).table()
    assert table.mean(batch) == pytest.approx(mean * 1e6, rel=1e-5)
    assert table.work_ns[batch - 1][-1] == pytest.approx(p99 * 1e6, rel=1e-5)
    assert table.levels[-1] == 0.99


def test_compute_is_taken_without_network_where_the_source_splits_it() -> None:
    profile = load_profile(shipped_profiles()["bert-large-t4"])
    # Batch 8 of the source: 114.5 ms seen by the client, of which input 0.1 and inference 113.8.
    assert [cell.at["batch"] for cell in profile.cells] == [1, 8, 16]
    assert profile.cells[1].base_ns == 113_900_000
    assert any("without network" in limit for limit in profile.limits)


def test_profiles_say_that_they_are_published_and_by_whom() -> None:
    for name in ("resnet50-t4", "resnet50-v100", "resnet50-a100", "bert-large-t4"):
        profile = load_profile(shipped_profiles()[name])
        assert profile.level == profile.table().level == "published"
        assert profile.fit.clock == "published"
        assert profile.source is not None
        assert profile.source.licence
        assert all(cell.n is None for cell in profile.cells)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a,b\n1,2\n", "column 'model' is missing among: a, b"),
        ("", "is empty"),
        (
            f"{HEAD}\nx,y,offline,z,1,2,3,s,0,-,FP16,ONNX,1,8,h,l\n",
            "no row of PyTorch/Classification/ConvNets/resnet50 on NVIDIA T4",
        ),
    ],
)
def test_another_table_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "figures.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=problem) as caught:
        read_timings(path, "deep-learning-examples")
    assert "\n" not in str(caught.value)


def test_a_figure_that_is_no_number_is_named(figures: Path, tmp_path: Path) -> None:
    lines = figures.read_text().splitlines(keepends=True)
    row = next(place for place, line in enumerate(lines) if "resnet50,offline,NVIDIA T4" in line)
    lines[row] = lines[row].replace("3.003", "quick")
    (tmp_path / "figures.csv").write_text("".join(lines))
    with pytest.raises(InputError, match=r"line \d+: avg_ms: 'quick' is not a number"):
        read_timings(tmp_path / "figures.csv")
