"""Tables of service times of other tools: small files of our own in each format, with laws known beforehand."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest

from calibration.importers import Timings, read_timings
from calibration.importers.base import recognising
from calibration.importers.document import Document
from calibration.profile import Profile, load_profile, save_profile
from simulator.errors import InputError

HERE = Path(__file__).parent / "importers"
KINDS = {
    "deep_learning_examples.csv": "deep-learning-examples",
    "layers/meta.yaml": "llmservingsim",
    "model_analyzer.csv": "model-analyzer",
    "perf_analyzer_batches.csv": "perf-analyzer",
    "samples.csv": "samples",
    "splitwise.csv": "splitwise",
}
LAYERS = {"layers/meta.yaml": 3}


def read(name: str) -> dict[str, Profile]:
    return {profile.name: profile for profile in read_timings(HERE / name, layers=LAYERS.get(name))}


def test_every_importer_has_a_file_here() -> None:
    assert set(KINDS.values()) == set(Timings.written())


@pytest.mark.parametrize("name", KINDS)
def test_each_file_is_recognised_by_its_importer_alone_and_its_profiles_are_kept(name: str, tmp_path: Path) -> None:
    document = Document(HERE / name)
    assert recognising(Timings, document) == [KINDS[name]]
    for profile in read(name).values():
        assert profile.level == "published"
        assert profile.source is not None
        assert profile.limits
        save_profile(profile, tmp_path / "p.json")
        assert load_profile(tmp_path / "p.json") == profile
    assert {profile.profile_id for profile in read(name).values()} == {
        profile.profile_id for profile in read_timings(HERE / name, KINDS[name], LAYERS.get(name))
    }


def test_the_gathered_latencies_of_nvidia_make_seven_profiles() -> None:
    found = read("deep_learning_examples.csv")
    assert len(found) == 7
    assert [cell.base_ns for cell in found["resnet50-v100"].cells] == [6_000_000, 20_000_000]
    # Compute alone where the source tells it apart: 9 ms of the client's 9.
    assert [cell.base_ns for cell in found["bert-large-a100"].cells] == [8_100_000, 29_100_000]
    assert found["resnet50-t4"].table().mean(8) == pytest.approx(10e6, rel=1e-5)


def test_perf_analyzer_at_concurrency_one_over_batch_sizes() -> None:
    (profile,) = read("perf_analyzer_batches.csv").values()
    assert profile.name == "perf_analyzer_batches"
    assert [(cell.at["batch"], cell.base_ns) for cell in profile.cells] == [(1, 4_650_000), (4, 9_085_000)]
    # The parts of batch 4 add up to 9600 us, so p99 is 11000 / 9600 of the mean.
    assert profile.fit.jitter.levels == (0, 0.5, 0.9, 0.95, 0.99)
    assert profile.fit.jitter.ratios[1][-1] == pytest.approx(11000 / 9600, abs=1e-6)
    assert profile.table().mean(1) == pytest.approx(4.65e6, rel=1e-5)
    assert any("without network and queue" in limit for limit in profile.limits)


def test_model_analyzer_makes_a_profile_of_each_configuration() -> None:
    found = read("model_analyzer.csv")
    assert list(found) == ["small_config_0", "small_config_1"]
    # 250 and 400 inferences a second: 4 ms a request of one, 5 ms of two.
    assert [cell.base_ns for cell in found["small_config_0"].cells] == [4_000_000, 5_000_000]
    assert [row[-1] for row in found["small_config_0"].fit.jitter.ratios] == [1.1, 1.1]
    assert any("batch over throughput" in limit for limit in found["small_config_0"].limits)


def test_plain_samples_of_two_sessions() -> None:
    (profile,) = read("samples.csv").values()
    one, four = profile.cells
    assert (one.at["batch"], one.n, four.at["batch"], four.n) == (1, 20, 4, 20)
    # Wall times are 2 ms and 2.2 ms, from round to round 0.01 ms more; the processor's are 0.96 of them.
    assert profile.fit.clock == "thread_cpu"
    assert one.base_ns == pytest.approx(0.96 * 2.145e6, rel=1e-6)
    assert one.between_sessions == pytest.approx(2.245 / 2.045, abs=1e-4)
    assert one.wall_ns is not None
    assert one.wall_ns.p50 == 2_145_000
    assert any("without a record of the machine" in limit for limit in profile.limits)


def test_processor_time_of_no_single_busy_thread_is_not_used(tmp_path: Path) -> None:
    lines = ["batch,wall_ns,cpu_ns", *(f"1,{1000 + n},{3000 + n}" for n in range(12))]
    (tmp_path / "two.csv").write_text("\n".join(lines))
    (profile,) = read_timings(tmp_path / "two.csv")
    assert (profile.fit.clock, profile.cells[0].base_ns) == ("wall", 1006)
    assert any("even undisturbed calls have 3.00 of the wall time" in limit for limit in profile.limits)


def test_splitwise_is_fitted_and_its_wrong_line_left_out() -> None:
    (profile,) = read("splitwise.csv").values()
    assert (profile.name, profile.kind, profile.axes) == ("small-gpu-tp2", "llm_step", ("prefill", "decode", "context"))
    places = [profile.place(cell) for cell in profile.cells]
    assert places[:3] == [(0, 1, 192), (0, 1, 576), (0, 1, 1088)]
    assert (2048, 0, 0) in places
    assert not any(place[1] == 64 for place in places)
    middle = {place: cell.base_ns for place, cell in zip(places, profile.cells, strict=True)}
    assert middle[0, 8, 576] == pytest.approx(1e6 * (20 + 4 + 0.001 * 8 * 576), rel=1e-9)
    assert profile.fit.jitter.ratios[0] == (0.99, 1, 1.01)
    # 20 ms, 0.1 ms a prompt token, 0.5 ms a sequence, 1 us a token of context: the law the file was made of.
    law = dict(zip(profile.fit.base.terms, profile.fit.base.coefficients, strict=True))
    assert law["1"] == pytest.approx(20e6, rel=1e-3)
    assert law["prefill"] == pytest.approx(1e5, rel=1e-3)
    assert law["decode"] == pytest.approx(5e5, rel=1e-2)
    assert law["decode*context"] == pytest.approx(1e3, rel=1e-2)
    assert law["prefill^2"] == pytest.approx(0, abs=0.1)
    assert any("1 lines (batch 64 at 512 tokens)" in limit for limit in profile.limits)


def test_prompts_of_several_requests_have_no_cell_where_one_prompt_has(tmp_path: Path) -> None:
    head = "model,hardware,prompt_size,batch_size,token_size,prompt_time,token_time,e2e_time,tensor_parallel\n"
    (tmp_path / "s.csv").write_text(
        head + "m,g,1024,1,2,100,10,110,1\nm,g,512,2,2,90,11,101,1\nm,g,512,4,2,200,12,212,1\n"
    )
    (profile,) = read_timings(tmp_path / "s.csv")
    prompts = {profile.place(cell)[0]: cell.base_ns for cell in profile.cells if cell.at["prefill"]}
    assert prompts == {1024: 100_000_000, 2048: 200_000_000}


def test_layers_add_up_to_steps() -> None:
    (profile,) = read("layers/meta.yaml").values()
    assert (profile.name, profile.kind) == ("small-SMALL-tp1", "llm_step")
    steps = {profile.place(cell): cell.base_ns for cell in profile.cells}
    # 4 tokens of 4 sequences: a layer has two norms of 1.4 us, 14 of qkv, 2.8 of activation and attention of
    # 5 + 0.02 x 4 x 16; once come embedding 7, norm 1.4, and for four sequences head 106 and sampler 23.
    each = 2 * 1.4 + 14 + 2.8 + 5 + 0.02 * 64
    assert steps[0, 4, 16] == pytest.approx(1e3 * (3 * each + 7 + 1.4 + 106 + 23), abs=1)
    # A prompt of 16 tokens, of which the last one is sampled, in the place without tokens before it.
    each = 2 * 2.6 + 26 + 5.2 + 5 + 8 + 0.01 * 16 * 8
    assert steps[16, 0, 0] == pytest.approx(1e3 * (3 * each + 13 + 2.6 + 100 + 20), abs=1)
    # 64 prompt tokens and 8 sequences are more than the dense layers were timed at.
    assert (64, 8, 16) not in steps
    law = dict(zip(profile.fit.base.terms, profile.fit.base.coefficients, strict=True))
    assert law["decode*context"] == pytest.approx(3 * 20, rel=0.05)
    assert law["prefill^2"] == pytest.approx(3 * 5, rel=0.1)
    worst = next(limit for limit in profile.limits if "The sum of terms" in limit)
    assert float(worst.split("off the figures by ")[1].split("%")[0]) < 5


def test_tables_may_lie_beside_under_a_longer_name(tmp_path: Path) -> None:
    shutil.copy(HERE / "layers" / "meta.yaml", tmp_path / "gpu__model__meta.yaml")
    for table in ("dense", "attention", "per_sequence"):
        shutil.copy(HERE / "layers" / "tp1" / f"{table}.csv", tmp_path / f"gpu__model__tp1__{table}.csv")
    (beside,) = read_timings(tmp_path / "gpu__model__meta.yaml", layers=3)
    assert [cell.base_ns for cell in beside.cells] == [
        cell.base_ns for cell in read("layers/meta.yaml")["small-SMALL-tp1"].cells
    ]


BROKEN = [
    ("splitwise.csv", "0.7,32.472000", "0.7,soon", "line 2: prompt_time: 'soon' is not a number"),
    ("splitwise.csv", ",512,64,", ",512,0,", "sizes and times must be above 0"),
    ("splitwise.csv", "token_time", "time", "column 'token_time' is missing"),
    ("model_analyzer.csv", "small,2,1,small_config_0", "small,1,1,small_config_0", "tells batch 1 at concurrency 1 tw"),
    ("model_analyzer.csv", ",400.0,", ",0,", "has neither a mean latency nor a throughput"),
    ("model_analyzer.csv", "small,1,1,small_config_1", "small,2,1,small_config_1", "has no line of batch 1"),
    ("model_analyzer.csv", "Concurrency", "Clients", "column 'Concurrency' is missing"),
    ("perf_analyzer_batches.csv", "\n1,1,200,", "\n1,3,200,", "has no line of batch 1 at concurrency 1; measure each"),
    ("perf_analyzer_batches.csv", "Batch Size", "b", "does not tell the batch sizes; put a column Batch Size before"),
    ("samples.csv", "session,round,batch,ms", "session,round,batch,s", "has no column ms or ns; call the times"),
    ("samples.csv", "cpu_ms", "ns", "has both ms and ns; keep one of them"),
    ("samples.csv", "a,9,4,", "a,9,8,", "holds 1 calls of batch 8, too few to fit; give at least 10"),
    ("samples.csv", "a,0,1,2.000", "a,0,1,two", "line 3: ms: 'two' is not a number"),
    ("samples.csv", "a,0,1,2.000", "a,0,9e20,2", "line 3: batch: '9e20' is out of range"),
    ("samples.csv", "a,0,1,2.000", "a,0,1,1e400", "line 3: ms: '1e400' is out of range"),
    ("samples.csv", "a,0,1,2.000", "a,0,1,NaN", "line 3: ms: 'NaN' is not a number"),
    ("splitwise.csv", "60.0,90000.0,2", "60.0,90000.0,4", "has no line of small on gpu at degree 4 whose times add up"),
    ("deep_learning_examples.csv", ",1,8,1,", ",one,8,1,", "n_model_instances: 'one' is not a number"),
    ("deep_learning_examples.csv", "model_format", "format", "column 'model_format' is missing"),
    ("deep_learning_examples.csv", "NVIDIA T4", "NVIDIA L4", "no row of PyTorch/Classification/ConvNets/resnet50 on"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "right", "wrong", "problem"), BROKEN)
def test_a_broken_table_is_refused_in_one_line(name: str, right: str, wrong: str, problem: str, tmp_path: Path) -> None:
    text = (HERE / name).read_text()
    assert right in text
    (tmp_path / name).write_text(text.replace(right, wrong))
    with pytest.raises(InputError) as caught:
        read_timings(tmp_path / name, KINDS[name])
    told = str(caught.value)
    assert told.startswith(f"{tmp_path / name}: ")
    assert problem in told
    assert "; " in told, "no fix"
    assert "\n" not in told


def test_broken_layers_are_refused(tmp_path: Path) -> None:
    shutil.copytree(HERE / "layers", tmp_path / "l")
    meta = tmp_path / "l" / "meta.yaml"
    with pytest.raises(InputError, match="does not tell how many layers the model has; give --layers, such as 32"):
        read_timings(meta)
    with pytest.raises(InputError, match="--layers: is not asked for by this format; leave it out"):
        read_timings(HERE / "samples.csv", layers=3)
    dense = tmp_path / "l" / "tp1" / "dense.csv"
    dense.write_text(dense.read_text().replace("act_fn,16,5.2", "act_fn,many,5.2"))
    with pytest.raises(InputError, match=r"dense.csv: line 9: tokens: 'many' is not a number"):
        read_timings(meta, layers=3)
    (tmp_path / "l" / "tp1" / "moe.csv").write_text("tokens,activated_experts,time_us\n1,8,50\n")
    with pytest.raises(InputError, match=r"meta.yaml: is of a mixture of experts, which is not read; the experts"):
        read_timings(meta, layers=3)
    dense.unlink()
    with pytest.raises(InputError, match=r"meta.yaml: has no tables beside it; put them there, such as .*dense.csv"):
        read_timings(meta, layers=3)
    meta.write_text(meta.read_text().replace("tp_degrees: [1]", "tp_degrees: [1"))
    with pytest.raises(InputError, match=r"meta.yaml: line \d+: is not YAML"):
        read_timings(meta, layers=3)


@pytest.mark.parametrize("kind", [None, *sorted(set(KINDS.values()))])
@pytest.mark.parametrize(("content", "problem"), [(b"", "is empty"), (b"\x00\x01", "is not text")])
def test_what_is_no_text_is_refused(kind: str | None, content: bytes, problem: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match=problem):
        read_timings(tmp_path / "file", kind)


def test_a_profile_is_called_by_a_name_that_scenarios_can_write(tmp_path: Path) -> None:
    (tmp_path / "our own (new) samples.csv").write_bytes((HERE / "samples.csv").read_bytes())
    (profile,) = read_timings(tmp_path / "our own (new) samples.csv")
    assert profile.name == "our-own-new-samples"


def test_a_load_test_is_not_taken_for_a_table(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="is of no known format of a table of service times; name one with --format: deep-"
    ):
        read_timings(HERE / "hey.csv")
    (tmp_path / "s.csv.gz").write_bytes(gzip.compress((HERE / "samples.csv").read_bytes()))
    (packed,) = read_timings(tmp_path / "s.csv.gz")
    assert packed.name == "s"
