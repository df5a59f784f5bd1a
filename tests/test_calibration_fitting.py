import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sampled import DAYS, Law, lognormal, sampled
from scipy import stats

from calibration.axes import AxisName
from calibration.fitting.grid import LEAST_ROUNDS
from calibration.fitting.jitter import LEVELS
from calibration.fitting.recipe import fit
from calibration.profile import find_profile, load_profile, profile_text, shipped_profiles
from calibration.samples import FreshStart, Samples, read_samples, write_samples
from calibration.tables import Wanted
from calibration.verification import AS_GOOD_AS_SAME, distance
from simulator.errors import InputError

MEASURED = [name for name, path in shipped_profiles().items() if load_profile(path).level == "measured"]
SLOW_BUT_ONE = [MEASURED[0], *(pytest.param(name, marks=pytest.mark.slow) for name in MEASURED[1:])]


@pytest.fixture
def known(tmp_path: Path) -> Path:
    write_samples(sampled(lognormal, rounds=2000), tmp_path / "known.samples.parquet")
    return tmp_path / "known.samples.parquet"


def _complaint(files: list[Path]) -> str:
    with pytest.raises(InputError) as caught:
        fit(files, "name")
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_there_are_measured_profiles_to_check() -> None:
    assert {"encoder-epyc-1t", "encoder-epyc-2t", "cnn-epyc-1t", "cnn-epyc-2t"} <= set(MEASURED)


@pytest.mark.parametrize("name", SLOW_BUT_ONE)
def test_fitting_the_shipped_samples_again_gives_the_shipped_profile(name: str) -> None:
    path = find_profile(name)
    shipped = load_profile(path)
    again = fit([path.parent / session.file for session in reversed(shipped.sessions)], name)
    # Another kind of processor may round otherwise: the bytes are those of the kind that fitted it.
    assert distance(again.model_dump(mode="json"), shipped.model_dump(mode="json")) < AS_GOOD_AS_SAME


def test_fitting_again_gives_the_same_bytes(tmp_path: Path) -> None:
    files = [tmp_path / f"{seed}.samples.parquet" for seed in (1, 2)]
    for seed, path in enumerate(files):
        write_samples(sampled(lognormal, rounds=60, seed=seed), path)
    assert profile_text(fit(files, "twice")) == profile_text(fit(files[::-1], "twice"))


def test_figures_are_apart_by_a_share_and_everything_else_by_more_than_any() -> None:
    one = {"profile_id": "a", "mean": [1.0, 2.0], "name": "x", "count": 3}
    assert distance(one, {**one, "profile_id": "b"}) == 0
    assert distance(one, {**one, "mean": [1.0, 1.9]}) == pytest.approx(0.05)
    for other in ({**one, "name": "y"}, {**one, "count": 4}, {**one, "mean": [1.0]}, {"profile_id": "a"}):
        assert distance(one, other) == math.inf


def test_samples_are_read_back_as_they_were_written(known: Path) -> None:
    samples, back = sampled(lognormal, rounds=2000), read_samples(known).samples
    assert back.session == samples.session
    assert back.phase == samples.phase
    for name, values in samples.columns.items():
        np.testing.assert_array_equal(back.columns[name], values)


def test_a_known_law_is_recovered(known: Path) -> None:
    profile = fit([known], "known")
    table = profile.table()
    for cell in profile.cells:
        # 4 standard errors of a sample quantile of 2000: sqrt(q (1 - q) / n) / density, the density of log time
        # being that of a normal with the law's spread.
        for level in (0.1, 0.5, 0.9, 0.99):
            normal = stats.norm.ppf(level)
            error = 4 * np.sqrt(level * (1 - level) / 2000) / stats.norm.pdf(normal) * 0.4 / cell.at["batch"]
            found = table.work_ns[cell.at["batch"] - 1][LEVELS.index(level)]
            truth = lognormal(cell.at["batch"], np.array([level]))[0]
            assert abs(np.log(found / truth)) < error


def test_base_and_quantiles_are_those_of_the_sample(tmp_path: Path) -> None:
    samples = sampled(lognormal, rounds=400)
    write_samples(samples, tmp_path / "a.parquet")
    profile = fit([tmp_path / "a.parquet"], "a")
    times = samples.measured((2,), "cpu_ns")
    cell, ratios = profile.cells[1], profile.fit.jitter.ratios[1]
    assert cell.base_ns == round(np.median(times))
    assert cell.n == 400
    assert cell.faults == 3
    assert ratios[LEVELS.index(0.95)] == pytest.approx(np.quantile(times, 0.95) / cell.base_ns, abs=1e-6)
    assert ratios[0] == pytest.approx(min(times) / cell.base_ns, abs=1e-6)
    assert profile.fit.jitter.levels[-1] == 0.995


@pytest.mark.parametrize(
    ("threads", "device", "wall", "source", "share"),
    [
        (1, "cpu", 1.1, "thread_cpu", 1.0),
        (1, "cpu", 2.0, "wall", 2.0),  # a model that waits: its processor time is not its service time
        (2, "cpu", 0.6, "wall", 0.6),
        (1, "cuda", 1.1, "cuda_event", 0.5),
    ],
)
def test_the_clock_of_the_base_is_chosen_and_said(
    threads: int, device: str, wall: float, source: str, share: float, tmp_path: Path
) -> None:
    def steady(batch: int, uniform: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.full(len(uniform), 1e6 * batch)

    samples = sampled(steady, threads=threads, device=device, wall=wall, rounds=20)
    write_samples(samples, tmp_path / "a.parquet")
    profile = fit([tmp_path / "a.parquet"], "a")
    assert profile.fit.clock == source
    assert profile.cells[0].base_ns == round(1e6 * share)


def test_sessions_are_pooled_and_their_difference_is_told(tmp_path: Path) -> None:
    def slower(batch: int, uniform: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return 1.25 * lognormal(batch, uniform)

    write_samples(sampled(lognormal, seed=1), tmp_path / "a.parquet")
    write_samples(sampled(slower, seed=1, started=DAYS[1]), tmp_path / "b.parquet")
    profile = fit([tmp_path / "a.parquet", tmp_path / "b.parquet"], "ab")
    assert [cell.n for cell in profile.cells] == [400] * 3
    assert [cell.between_sessions for cell in profile.cells] == pytest.approx([1.25] * 3, abs=1e-3)
    assert [session.file for session in profile.sessions] == ["a.parquet", "b.parquet"]


def test_the_order_of_the_files_does_not_matter(tmp_path: Path) -> None:
    write_samples(sampled(lognormal, seed=1), tmp_path / "a.parquet")
    write_samples(sampled(lognormal, seed=2), tmp_path / "b.parquet")
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    assert profile_text(fit(files, "ab")) == profile_text(fit(files[::-1], "ab"))


def test_warm_up_is_kept_in_the_file_and_out_of_the_fit(tmp_path: Path) -> None:
    samples = sampled(lognormal, rounds=50)
    cold = {name: np.concatenate([values[:1], values]) for name, values in samples.columns.items()}
    cold["round"][0] = -1
    cold["cpu_ns"][0] = 10**12
    write_samples(Samples(samples.session, ("warm", *samples.phase), cold), tmp_path / "a.parquet")
    profile = fit([tmp_path / "a.parquet"], "a")
    assert profile.sessions[0].rows == 151
    assert profile.cells[0].n == 50
    assert max(profile.fit.jitter.ratios[0]) < 100


def test_sessions_of_different_models_or_machines_do_not_mix(tmp_path: Path) -> None:
    write_samples(sampled(lognormal, rounds=20), tmp_path / "a.parquet")
    write_samples(sampled(lognormal, rounds=20, threads=2), tmp_path / "b.parquet")
    text = _complaint([tmp_path / "a.parquet", tmp_path / "b.parquet"])
    assert "environment.threads" in text
    assert "b.parquet" in text
    write_samples(sampled(lognormal, rounds=20, points=((1,), (2,))), tmp_path / "c.parquet")
    assert "protocol.points" in _complaint([tmp_path / "a.parquet", tmp_path / "c.parquet"])


def test_the_same_session_twice_is_refused(known: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.parquet").write_bytes(known.read_bytes())
    assert "is the same session as" in _complaint([known, tmp_path / "copy.parquet"])


def test_too_few_rounds_are_refused(tmp_path: Path) -> None:
    write_samples(sampled(lognormal, rounds=LEAST_ROUNDS - 1), tmp_path / "a.parquet")
    assert "too few to fit" in _complaint([tmp_path / "a.parquet"])


def test_samples_without_batch_one_are_refused(tmp_path: Path) -> None:
    write_samples(sampled(lognormal, rounds=20, points=((2,), (4,))), tmp_path / "a.parquet")
    assert "from a batch of 1 up" in _complaint([tmp_path / "a.parquet"])


def test_files_that_hold_no_samples_are_refused(tmp_path: Path) -> None:
    assert "there is no such samples file" in _complaint([tmp_path / "none.parquet"])
    (tmp_path / "text.parquet").write_text("batch,ms\n1,2\n")
    assert "is not a Parquet file" in _complaint([tmp_path / "text.parquet"])
    pq.write_table(pa.table({"batch": [1, 2]}), tmp_path / "bare.parquet")
    assert "no record of how" in _complaint([tmp_path / "bare.parquet"])
    assert "no samples were given" in _complaint([])


@pytest.mark.parametrize(
    ("column", "values", "problem"),
    [
        ("cpu_ns", ["fast"], "cpu_ns: holds string, not whole numbers"),
        ("wall_ns", None, "column wall_ns is missing"),
        ("batch", [7], "points of the protocol"),
    ],
)
def test_a_damaged_column_is_named(column: str, values: list[Any] | None, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_samples(sampled(lognormal, rounds=20), path)
    table = pq.read_table(path)
    place = table.column_names.index(column)
    other = table.remove_column(place)
    if values is not None:
        other = table.set_column(place, column, pa.array(values * table.num_rows))
    pq.write_table(other.replace_schema_metadata(table.schema.metadata), path)
    assert problem in _complaint([path])


def test_a_name_that_scenarios_could_not_write_is_refused(known: Path) -> None:
    with pytest.raises(InputError, match="name: 'my profile'"):
        fit([known], "my profile")


@pytest.mark.parametrize("model", ["encoder", "cnn"])
def test_two_threads_are_faster_than_one_but_not_twice_as_fast(model: str) -> None:
    one, two = (load_profile(find_profile(f"{model}-epyc-{threads}t")) for threads in (1, 2))
    for slow, fast in zip(one.cells, two.cells, strict=True):
        assert 1 < slow.base_ns / fast.base_ns < 2
    for profile in (one, two):
        bases = [cell.base_ns for cell in profile.cells]
        assert bases == sorted(bases)


def _written(folder: Path, *sessions: Samples) -> list[Path]:
    paths = [folder / f"{number}.parquet" for number in range(len(sessions))]
    for samples, path in zip(sessions, paths, strict=True):
        write_samples(samples, path)
    return paths


def _days(law: Law, factors: tuple[float, ...], **fields: Any) -> list[Samples]:
    """A session a day, each slower by its factor."""
    return [
        sampled(lambda *at, f=factor: f * law(*at), seed=number, started=DAYS[number], **fields)
        for number, factor in enumerate(factors)
    ]


def test_the_fit_says_what_was_tried_and_what_is_used(tmp_path: Path) -> None:
    points = tuple((batch,) for batch in (1, 2, 4, 8, 16))
    files = _written(tmp_path, *_days(lognormal, (1.0, 1.0), points=points))
    profile = fit(files, "tried")
    base, jitter = profile.fit.base, profile.fit.jitter
    assert (base.form, base.terms) == ("affine", ("1", "batch"))
    np.testing.assert_allclose(base.coefficients, [1e6, 5e5], rtol=0.1)
    assert [one.form for one in base.candidates if one.chosen] == ["affine"]
    assert [one.form for one in jitter.candidates if one.chosen] == [jitter.form]
    assert {"quantile_table", "lognormal", "lognormal_mixture_3", "shifted_gamma"} <= {
        one.form for one in jitter.candidates
    }
    assert all(one.bic is not None for one in jitter.candidates if not one.form.startswith("quantile_table"))


def test_refits_carry_what_differs_between_sessions_into_the_table(tmp_path: Path) -> None:
    profile = fit(_written(tmp_path, *_days(lognormal, (1.0, 1.4, 1.2))), "three")
    refits = profile.fit.refits
    assert refits is not None
    assert len(refits.ratios) >= 20
    medians = [profile.table(refit=number).work_ns[0][LEVELS.index(0.5)] for number in range(len(refits.ratios))]
    spread = np.array(medians) / profile.cells[0].base_ns
    assert spread.min() < 0.97
    assert spread.max() > 1.03
    ends = profile.cells[0].intervals
    assert ends is not None
    assert ends.p50[0] < profile.cells[0].base_ns < ends.p50[1]


def test_a_quiet_host_is_graded_better_than_a_busy_one(tmp_path: Path) -> None:
    def quiet(batch: int, uniform: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return 1e6 * (1 + batch) * (1 + 0.01 * uniform)

    points = tuple((batch,) for batch in (1, 2, 4, 8))
    calm = fit(_written(tmp_path, *_days(quiet, (1.0, 1.0), points=points, rounds=50)), "calm")
    assert (calm.grade, calm.status) == ("A", "accepted")
    busy = fit(_written(tmp_path, *_days(quiet, (1.0, 1.3), points=points, rounds=50)), "busy")
    assert (busy.grade, busy.status) == ("C", "degraded")
    broken = fit(_written(tmp_path, *_days(quiet, (1.0, 4.0), points=points, rounds=50)), "broken")
    assert (broken.grade, broken.status) == ("D", "rejected")
    alone = fit(_written(tmp_path, *_days(quiet, (1.0,), points=points, rounds=50)), "alone")
    assert (alone.grade, alone.status) == ("A", "degraded")


def test_p99_is_stated_of_enough_calls_that_agree(tmp_path: Path) -> None:
    few, many = (
        fit(_written(tmp_path, *_days(lognormal, (1.0, 1.0), rounds=rounds, points=((1,),))), "p99")
        for rounds in (100, 600)
    )
    assert any("p99 is indicative" in limit for limit in few.limits)
    assert not any("p99 is indicative" in limit for limit in many.limits)


def test_interference_is_what_the_wall_clock_saw_and_the_processor_did_not(tmp_path: Path) -> None:
    profile = fit(_written(tmp_path, *_days(lognormal, (1.0, 1.0), wall=1.1)), "slowed")
    found = profile.fit.interference
    assert found is not None
    assert [stay.speed for stay in found.course] == pytest.approx([1 / 1.1] * len(found.course), rel=1e-3)
    assert fit(_written(tmp_path, *_days(lognormal, (1.0,), threads=2)), "wall").fit.interference is None


def test_stages_and_cold_starts_are_kept_with_the_cells(tmp_path: Path) -> None:
    cold = FreshStart(import_ns=3 * 10**9, build_ns=10**8, first_call_ns=10**7, warm_up_ns=10**8)
    later = cold.model_copy(update={"import_ns": 10**9})
    sessions = [
        sampled(lognormal, stages=("preprocess", "to_device"), cold=starts, started=day)
        for starts, day in (((cold,), DAYS[0]), ((later,), DAYS[1]))
    ]
    sessions[1].columns["cpu_ns"] += 1
    profile = fit(_written(tmp_path, *sessions), "stages")
    assert {stage: found.p50 for stage, found in profile.cells[0].stages_ns.items()} == {
        "preprocess": 10**5,
        "to_device": 2 * 10**5,
    }
    assert profile.cold_start is not None
    assert profile.cold_start.processes == 2
    assert profile.cold_start.stages_ns["import"] == 2 * 10**9


def test_a_second_axis_is_a_plane_that_is_cut_where_it_is_asked_for(tmp_path: Path) -> None:
    def law(batch: int, seq: int, uniform: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return (1e6 + 2e5 * batch + 1e4 * batch * seq) * (0.99 + 0.02 * uniform)

    points = tuple((batch, seq) for batch in (1, 2, 4, 8) for seq in (32, 64, 128))
    files = _written(tmp_path, *_days(law, (1.0, 1.0), axes=("batch", "seq"), points=points, rounds=40))
    profile = fit(files, "plane")
    assert profile.axes == ("batch", "seq")
    assert profile.fit.base.terms == ("1", "batch", "batch*seq")
    np.testing.assert_allclose(profile.fit.base.coefficients, [1e6, 2e5, 1e4], rtol=0.03)
    middle = LEVELS.index(0.5)
    for seq in (32, 50, 128):
        table = profile.table(wanted=Wanted(at={"seq": seq}))
        truth = 1e6 + (2e5 + 1e4 * seq) * np.arange(1, 9)
        np.testing.assert_allclose(table.work_ns[:, middle], truth, rtol=0.01)
    wrong: list[tuple[dict[AxisName, int], str]] = [
        ({}, "nothing says where"),
        ({"seq": 256}, "was not measured at 256 tokens"),
        ({"threads": 1}, "does not vary"),
    ]
    for at, problem in wrong:
        with pytest.raises(InputError, match=problem):
            profile.table(wanted=Wanted(at=at))


def test_steps_of_a_language_model_become_terms(tmp_path: Path) -> None:
    def law(prefill: int, decode: int, context: int, uniform: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return (2e6 + 8e4 * prefill + 1e5 * decode + 700 * decode * context) * (0.99 + 0.02 * uniform)

    points = tuple((p, d, c) for p in (0, 64, 256) for d in (1, 8, 32) for c in (128, 1024))
    axes = ("prefill", "decode", "context")
    profile = fit(_written(tmp_path, *_days(law, (1.0, 1.0), axes=axes, points=points, rounds=20)), "steps")
    assert (profile.kind, profile.fit.base.form) == ("llm_step", "step")
    np.testing.assert_allclose(profile.fit.base.coefficients, [2e6, 8e4, 1e5, 700], rtol=0.02)
    with pytest.raises(InputError, match="steps of an LLM engine"):
        profile.table()


def test_steps_that_hide_the_arithmetic_behind_the_weights_take_the_roofline_form(tmp_path: Path) -> None:
    def law(prefill: int, decode: int, context: int, uniform: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        dense = (8e6**4 + (3e4 * (prefill + decode)) ** 4) ** 0.25
        rest = 2e4 * (decode + (prefill > 0)) + 60 * decode * context + prefill**2
        return np.asarray((dense + rest) * (0.99 + 0.02 * uniform), dtype=np.float64)

    points = tuple((p, d, c) for p in (0, 256, 1024) for d in (1, 16, 64) for c in (128, 2048))
    axes = ("prefill", "decode", "context")
    base = fit(_written(tmp_path, *_days(law, (1.0, 1.0), axes=axes, points=points, rounds=20)), "steps").fit.base
    assert (base.form, base.terms) == ("step_roofline", ("weights", "token", "sequence", "context", "pair"))
    np.testing.assert_allclose(base.coefficients[:4], [8e6, 3e4, 2e4, 60], rtol=0.05)
    chosen = {one.form: one.chosen for one in base.candidates}
    assert [form for form, is_it in chosen.items() if is_it] == ["step_roofline"]
    assert (base.left_out_error or 1) < 0.02


def test_a_call_that_is_missing_is_noticed(tmp_path: Path) -> None:
    samples = sampled(lognormal, rounds=20)
    short = {name: values[:-1] for name, values in samples.columns.items()}
    write_samples(Samples(samples.session, samples.phase[:-1], short), tmp_path / "a.parquet")
    assert "holds 19 calls at batch 4" in _complaint([tmp_path / "a.parquet"])
