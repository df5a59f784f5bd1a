"""Profiles of LLM steps from data sheets, shapes, and the few figures of load tests."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from llm_serving import H100, QWEN

from calibration.importers.steps import step_profile
from calibration.llm.building import Built, Serving, build
from calibration.llm.points import Figure, LoadPoint, figures, read_points
from calibration.llm.profiles import StepsAsked, beyond_steps, predicted, steps_of
from calibration.llm.roofline import NAMES, Mean, Numbers, Point
from calibration.llm.shapes import shapes
from calibration.llm.step import Step
from calibration.profile import load_profile
from calibration.records import Source
from calibration.subjects import Subject
from scenarios.load import load
from simulator.errors import InputError
from simulator.llm.service import FittedSteps
from ui.cli import main

HERE = Path(__file__).parent
SERVING = Serving("qwen3-8b, sha256:0", QWEN, "H100", H100, 1)
TRUE = Numbers(8e6, 30e3, 20e3, 60.0, 2.0)
FOLDER = HERE / "importers" / "llm"
GIVEN = (str(FOLDER / "points.yaml"), "--config", str(FOLDER / "config.json"))


def told(budget: int = 8192, overhead_ns: int | None = None, **fields: int) -> list[Figure]:
    return list(figures((load_point(**{"prompt": 100, "output": 50, **fields}),), budget, overhead_ns))


def load_point(**fields: int) -> LoadPoint:
    """With times in nanoseconds."""
    counts = ("clients", "prompt", "output")
    return LoadPoint.model_validate({name: value if name in counts else f"{value}ns" for name, value in fields.items()})


def time(numbers: Numbers, point: Point) -> float:
    return float(numbers.at(np.array([[point.tokens, point.sequences, point.context, point.pairs]]))[0])


# What a figure tells.


def test_the_steps_that_each_figure_is_of() -> None:
    (figure,) = told(clients=10, itl_p50=7_000_000)
    assert (figure.of, figure.places) == (Point(10, 10, 10 * 125, 0, 7e6), ((0, 10, 125),))
    # 300 tokens: three prompts of 100, less what the seven others take of the budget.
    (figure,) = told(budget=300, clients=10, itl_p99=9_000_000)
    assert (figure.of, figure.places) == (Point(300, 10, 7 * 125, 293 * 50, 9e6), ((293, 7, 125),))
    (figure,) = told(overhead_ns=1_000_000, clients=1, ttft=5_000_000)
    assert (figure.of, figure.places) == (Point(100, 1, 0, 5000, 4e6), ((100, 0, 0),))


def test_a_mean_is_of_steps_with_the_prompts_of_others_and_without() -> None:
    # While one of 11 clients gets 50 tokens, the 10 others bring a prompt each: in a fifth of the steps.
    (figure,) = told(clients=11, tpot=8_000_000)
    plain, mixed = Point(11, 11, 11 * 125, 0, 8e6), Point(110, 11, 10 * 125, 5000)
    assert figure.of == Mean(((0.8, plain), (0.2, mixed)), 8e6)
    assert figure.places == ((0, 11, 125), (100, 10, 125))
    # Of 101 two come in every step.
    (figure,) = told(clients=101, tpot=8_000_000)
    assert isinstance(figure.of, Mean)
    assert figure.of.sorts[1] == (1.0, Point(99 + 200, 101, 99 * 125, 10_000))
    (figure,) = told(clients=1, tpot=8_000_000)
    assert figure.of == Point(1, 1, 125, 0, 8e6)


@pytest.mark.parametrize(
    ("fields", "overhead", "why"),
    [
        ({"clients": 2, "ttft": 9}, 1, "it holds the wait for the steps and prompts of other clients"),
        ({"clients": 1, "ttft": 9}, None, "nothing tells how much: give --overhead"),
        ({"clients": 1, "ttft": 9}, 9, "--overhead is all of it"),
        ({"clients": 1, "ttft": 9, "prompt": 9000}, 1, "takes several steps"),
        ({"clients": 40, "itl_p50": 9}, None, "most steps compute prompts of other clients too"),
        ({"clients": 40, "itl_p99": 9}, None, "too few steps have 8192 tokens"),
        ({"clients": 64, "itl_p99": 9, "prompt": 128, "output": 1024}, None, "the p99 may be of others"),
        ({"clients": 40, "tpot": 9, "output": 1}, None, "answers of one token have no time between tokens"),
    ],
)
def test_what_tells_of_no_step_is_left_out(fields: dict[str, int], overhead: int | None, why: str) -> None:
    (figure,) = told(overhead_ns=overhead, **fields)
    assert figure.of is None
    assert why in figure.why


# Profiles.


def built(*points: LoadPoint) -> Built:
    return build("qwen", SERVING, list(figures(points, 8192, 6_000_000)), "a page" if points else "")


def point(clients: int, prompt: int, output: int, *names: str) -> LoadPoint:
    """A point as the TRUE numbers make it."""
    bare = load_point(clients=clients, prompt=prompt, output=output, **dict.fromkeys(names, 10**9))
    times = {}
    for name, figure in zip(names, figures((bare,), 8192, 0), strict=True):
        sorts = ((1.0, figure.of),) if isinstance(figure.of, Point) else figure.of.sorts if figure.of else ()
        times[name] = round(sum(share * time(TRUE, each) for share, each in sorts)) + 6_000_000 * (name == "ttft")
    return load_point(clients=clients, prompt=prompt, output=output, **times)


def test_points_enough_find_the_numbers_again() -> None:
    found = built(
        point(1, 500, 1000, "itl_p50"),
        point(256, 100, 1000, "itl_p50"),
        point(256, 4000, 8000, "tpot"),
        point(1, 8000, 10, "ttft"),
        point(64, 1000, 100, "itl_p99"),
    )
    assert found.profile.level == "published"
    assert found.fit.assumed == found.profile.fit.base.assumed == ()
    assert found.profile.fit.base.coefficients == pytest.approx([getattr(TRUE, name) for name in NAMES], rel=0.02)
    assert (found.profile.fit.base.error or 0) < 0.005
    # Where a step alone was timed its cell is what was measured, else what the law says.
    times = {found.profile.place(cell): cell.base_ns for cell in found.profile.cells}
    assert times[8000, 0, 0] == round(time(TRUE, Point(8000, 1, 0, 32e6)))
    assert predicted(found.profile) == pytest.approx([cell.base_ns for cell in found.profile.cells], rel=0.01)


def test_three_rows_of_a_benchmark_tell_the_others(shared_data: Path) -> None:
    """Median times between tokens of vLLM 0.30 on an H100: those of one client, 64 that decode, and a full step of 64.

    Of the others those are looked at that find no room short (to 256 clients).
    """
    with (shared_data / "measured" / "h100_vllm_closedloop_qwen3_8b.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    known, others = [], []
    for row in rows:
        place = (row["workload"], int(row["concurrency"]))
        shape = {"clients": place[1], "prompt": int(row["input_len"]), "output": int(row["output_len"])}
        times = {name: f"{row[f'{name}_ms']}ms" for name in ("itl_p50", "itl_p99")}
        point = LoadPoint.model_validate({**shape, **times})
        if place in (("decode", 1), ("decode", 64), ("prefill", 64)):
            known.append(point)
        elif place[1] <= 256:
            others.append(point)
    found = build("qwen", SERVING, list(figures(tuple(known), 8192, None)), "a benchmark")
    assert found.profile.fit.base.coefficients[:3] == pytest.approx((6.75e6, 23e3, 10e3), rel=0.05)
    errors = {
        figure.label: time(found.fit.numbers, figure.of) / figure.time_ns - 1
        for figure in figures(tuple(others), 8192, None)
        if isinstance(figure.of, Point)
    }
    assert len(errors) > 15
    assert max(abs(error) for error in errors.values()) < 0.03, errors


def test_one_point_leaves_most_assumed_and_says_so() -> None:
    found = built(point(1, 500, 1000, "itl_p50"))
    assert found.profile.fit.base.assumed == ("token", "sequence", "context", "pair")
    assert found.profile.limits[1].startswith("Assumed by arithmetic, from data sheet and shapes: token, sequence,")
    law, error = steps_of(found.profile, None, StepsAsked(8192, 256, 1500, 500))
    # Prompts of 500 are 2 million pairs, 2 ms of the 192 of a full step: no matter.
    assert law.level == "published, token and sequence and context assumed"
    assert error == found.profile.fit.base.error
    (decode,) = beyond_steps(found.profile, StepsAsked(1, 256, 1000, 500))
    assert decode.words == "decode up to 256 sequences, measured up to 1"


def test_without_points_all_is_assumed_and_no_hull_holds() -> None:
    found = built()
    asked = StepsAsked(10**6, 10**4, 10**6, 10**5)
    law, error = steps_of(found.profile, None, asked)
    assert (law.level, law.form, error) == ("assumed", "roofline", None)
    assert law.numbers == pytest.approx(found.profile.fit.base.coefficients)
    assert beyond_steps(found.profile, asked) == []


def test_figures_of_which_none_tells_anything() -> None:
    with pytest.raises(InputError, match=r"none of its 1 figures tells of steps: it holds the wait"):
        build("qwen", SERVING, told(clients=3, ttft=9), "a page")


def test_a_table_of_steps_is_fitted_by_the_closer_form() -> None:
    subject = Subject(name="m", origin="published", description="a", inputs="tokens", dtype="f", mode="it")
    source = Source(reference="r", licence="l", heading="h", hardware="h", software="s")
    places = [(0, count, context) for count in (1, 8, 64, 512) for context in (100, 1000)]
    places += [(count, 0, 0) for count in (64, 128, 256, 512, 2048)]
    bent = [
        Step(
            prompt,
            count,
            context,
            prompt**2 // 2,
            round(time(TRUE, Point(prompt + count, count + (prompt > 0), count * context, prompt**2 / 2))),
        )
        for prompt, count, context in places
    ]
    found = step_profile("bent", subject, source, bent, ("a limit",))
    assert found.fit.base.form == "step_roofline"
    assert [one.chosen for one in found.fit.base.candidates] == [False, True]
    assert (found.fit.base.error or 0) < 0.01
    assert found.fit.base.coefficients[:2] == pytest.approx((8e6, 30e3), rel=0.02)
    assert any("The roofline form is off the figures by" in limit for limit in found.limits)
    law, _ = steps_of(found, None, StepsAsked(2048, 512, 1000, 100))
    assert (law.form, law.level) == ("roofline", "published")


# Files.


def test_points_of_yaml_csv_and_observations_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "- {clients: 2, prompt: 20, output: 3, ttft: 50ms, tpot: 10ms, itl_p50: 9ms, itl_p99: 15ms}"
    )
    (tmp_path / "a.csv").write_text("clients,prompt,output,ttft,tpot,itl_p50,itl_p99\n2,20,3,50ms,10ms,9ms,15ms\n")
    with pytest.raises(SystemExit):
        main(
            ["import", "loadtest", str(HERE / "importers" / "vllm_detailed.json"), "-o", str(tmp_path / "a.json"), "-q"]
        )
    one, two, three = (read_points(tmp_path / f"a.{kind}") for kind in ("yaml", "csv", "json"))
    assert one == two
    assert three[0].model_copy(update={"ttft": 50_000_000}) == one[0]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "points: []", "a.yaml: points: "),
        ("a.yaml", "points: [{clients: 0, prompt: 1, output: 1, tpot: 1ms}]", "points.0.clients: "),
        ("a.yaml", "points: [{clients: 1, prompt: 1, output: 1}]", "points.0: tells no time; give one of ttft, tpot"),
        ("a.yaml", "points: [{clients: 1, prompt: 1, output: 1, tpott: 1ms}]", "did you mean 'tpot'"),
        ("a.yaml", "points: [{clients: 1, prompt: 1, output: 1, tpot: 5}]", "points.0.tpot: "),
        ("a.yaml", "points: {", "a.yaml: line 1: is not YAML"),
        ("a.yaml", "7", "a.yaml: "),
        ("a.csv", "clients,prompt,output\n", "a.csv: has a header and no rows"),
        ("a.csv", "clients,prompt\n1,2\n", "column 'output' is missing"),
        ("a.csv", "clients,prompt,output,tpot\n1,2,many,1ms\n", "points.0.output: "),
        ("a.csv", "clients,prompt,output,tpot\n1,2,3,soon\n", "points.0.tpot: 'soon'"),
        ("a.json", '{"observations": [{}]}', "a.json: "),
    ],
)
def test_broken_points_are_told_in_a_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        read_points(tmp_path / name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_open_load_test_is_no_point(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["import", "loadtest", str(HERE / "importers" / "vllm.json"), "-o", str(tmp_path / "a.json"), "-q"])
    with pytest.raises(
        InputError, match=r"observations\.0\.offered: is of no closed loop; take a load test of so many"
    ):
        read_points(tmp_path / "a.json")


def test_weights_of_fewer_bits_are_read_faster(tmp_path: Path) -> None:
    config = json.loads((FOLDER / "config.json").read_text())

    def found(quantised: object) -> float:
        (tmp_path / "config.json").write_text(json.dumps({**config, "quantization_config": quantised}))
        return shapes(tmp_path / "config.json").weight_size

    assert found({"quant_method": "awq", "bits": 4}) == 0.5
    assert found({"quant_method": "fp8"}) == 1.0
    assert found({"quant_method": "bitsandbytes", "load_in_4bit": True}) == 0.5
    assert found(None) == 2.0
    with pytest.raises(InputError, match=r"quant_method 'new' does not tell the bits of a weight; add bits: 8, or 4"):
        found({"quant_method": "new"})
    with pytest.raises(InputError, match=r"quantization_config.bits: 0 is not from 1 to 32"):
        found({"bits": 0})


# The command.


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", "llm", *words])
    return int(ended.value.code or 0)


def test_the_command_makes_a_profile_that_serves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "qwen.json"
    assert run(*GIVEN, "--gpu", "H100", "-o", str(out)) == 0
    shown = capsys.readouterr()
    assert "qwen: published, sequence and pair assumed" in shown.out
    assert "64 clients, 1024 + 128 tokens: itl_p99" in shown.out
    assert "give --overhead" in " ".join(shown.out.split())
    assert "Assumed by arithmetic, from data sheet and shapes: sequence, pair." in shown.err
    before = out.read_bytes()
    assert run(*GIVEN, "--gpu", "H100", "-o", str(out), "-q") == 0
    assert out.read_bytes() == before
    assert load_profile(out).fit.base.form == "step_roofline"
    service = f"models.qwen3-8b.stages.0.service={{p5.4xlarge: {{kind: profile, profile: {out}, extrapolate: true}}}}"
    law = load("chat-on-h100", [service]).case().stages[0].service
    assert isinstance(law, FittedSteps)
    assert law.level.startswith("published, sequence and pair assumed, extrapolated ")


def test_another_gpu_by_its_data_sheet(tmp_path: Path) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    assert run(*GIVEN[1:], "--gpu", "H100", "--gpus", "2", "-o", str(one), "-q") == 0
    given = ("--bandwidth", "3350GB/s", "--tflops", "989", "--gpus", "2")
    assert run(*GIVEN[1:], *given, "-o", str(two), "-q") == 0
    first, second = load_profile(one), load_profile(two)
    assert first.fit.base == second.fit.base
    assert first.level == "assumed"
    assert "What GPUs tell each other is not in what is assumed." in first.limits


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "--gpu: is not given; name one, or give --bandwidth and --tflops"),
        (("--gpu", "H10"), "--gpu: 'H10' has no data sheet here; did you mean 'H100'?"),
        (("--gpu", "H100", "--tflops", "9"), "--gpu: comes beside --bandwidth or --tflops"),
        (("--bandwidth", "fast", "--tflops", "9"), "--bandwidth: 'fast'"),
        (("--gpu", "H100", "--overhead", "6"), "--overhead: "),
    ],
)
def test_the_command_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert run(*GIVEN, *words, "-o", str(tmp_path / "out.json")) == 2
    told_of = capsys.readouterr().err
    assert message in told_of
    assert len(told_of.strip().splitlines()) == 1
    assert not (tmp_path / "out.json").exists()
