from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from calibration.environment import Cpu, Environment, Load, Provenance
from calibration.fitting.grid import LEAST_ROUNDS
from calibration.fitting.jitter import LEVELS
from calibration.fitting.recipe import fit
from calibration.profile import find_profile, load_profile, profile_text, shipped_profiles
from calibration.samples import Protocol, Samples, Session, read_samples, write_samples
from calibration.subjects import Subject
from simulator.errors import InputError

MEASURED = [name for name, path in shipped_profiles().items() if load_profile(path).level == "measured"]

_SUBJECT = Subject(name="m", origin="factory", description="a model", inputs="nx3", dtype="float32", mode="eager")
_CPU = Cpu(model="a processor", cores=2, virtualised=False)
_LOAD = Load(
    loadavg_before=None,
    loadavg_after=None,
    steal_share=None,
    others_share=None,
    clock_resolution_ns=1,
    clock_overhead_ns=50,
)

Law = Callable[[int, npt.NDArray[np.float64]], npt.NDArray[np.float64]]


def _session(batches: tuple[int, ...], rounds: int, threads: int, started: str, device: Any) -> Session:
    return Session(
        subject=_SUBJECT,
        environment=Environment(
            device=device,
            threads=threads,
            cpu=_CPU,
            os="an OS",
            python="3",
        ),
        protocol=Protocol(
            axes=("batch",),
            points=tuple((batch,) for batch in batches),
            rounds=rounds,
            rounds_asked=rounds,
            seed=1,
            warmup="none",
            boundary="all",
            wall_clock="a clock",
            cpu_clock="thread" if threads == 1 else "process",
            stop="complete",
        ),
        load=_LOAD,
        provenance=Provenance(
            tool="x", git_commit=None, git_dirty=None, command="x", started_utc=started, finished_utc=started
        ),
    )


def _samples(
    law: Law,
    *,
    batches: tuple[int, ...] = (1, 2, 4),
    rounds: int = 2000,
    seed: int = 0,
    threads: int = 1,
    wall: float = 1.0,
    device: str = "cpu",
    started: str = "2026-01-01T00:00:00Z",
) -> Samples:
    """Samples that follow a law: the processor time of a batch at a uniform number, in nanoseconds."""
    generator = np.random.default_rng(seed)
    number = np.repeat(np.arange(rounds), len(batches))
    batch = np.tile(batches, rounds)
    cpu = np.empty(len(batch))
    for size in batches:
        cpu[batch == size] = law(size, generator.random(rounds))
    columns = {
        "process": 0 * cpu,
        "round": number,
        "batch": batch,
        "start_ns": np.cumsum(cpu),
        "wall_ns": cpu * wall,
        "cpu_ns": cpu,
    }
    columns |= {"device_ns": cpu / 2} if device == "cuda" else {}
    columns |= {"switches": np.zeros(len(cpu)), "faults": np.full(len(cpu), 3)}
    whole = {name: np.rint(values).astype(np.int64) for name, values in columns.items()}
    return Samples(_session(batches, rounds, threads, started, device), ("measure",) * len(cpu), whole)


def _lognormal(batch: int, uniform: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    spread = 0.4 / batch
    return (1e6 + 5e5 * batch) * np.exp(spread * stats.norm.ppf(uniform))


@pytest.fixture
def known(tmp_path: Path) -> Path:
    write_samples(_samples(_lognormal), tmp_path / "known.samples.parquet")
    return tmp_path / "known.samples.parquet"


def _complaint(files: list[Path]) -> str:
    with pytest.raises(InputError) as caught:
        fit(files, "name")
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_there_are_measured_profiles_to_check() -> None:
    assert {"encoder-epyc-1t", "encoder-epyc-2t", "cnn-epyc-1t", "cnn-epyc-2t"} <= set(MEASURED)


@pytest.mark.parametrize("name", MEASURED)
def test_fitting_the_shipped_samples_again_gives_the_shipped_bytes(name: str) -> None:
    path = find_profile(name)
    sessions = load_profile(path).sessions
    files = [path.parent / session.file for session in reversed(sessions)]
    assert profile_text(fit(files, name)) == path.read_text()


def test_samples_are_read_back_as_they_were_written(known: Path) -> None:
    samples, back = _samples(_lognormal), read_samples(known).samples
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
            truth = _lognormal(cell.at["batch"], np.array([level]))[0]
            assert abs(np.log(found / truth)) < error


def test_base_and_quantiles_are_those_of_the_sample(tmp_path: Path) -> None:
    samples = _samples(_lognormal, rounds=400)
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

    samples = _samples(steady, threads=threads, device=device, wall=wall, rounds=20)
    write_samples(samples, tmp_path / "a.parquet")
    profile = fit([tmp_path / "a.parquet"], "a")
    assert profile.fit.clock == source
    assert profile.cells[0].base_ns == round(1e6 * share)


def test_sessions_are_pooled_and_their_difference_is_told(tmp_path: Path) -> None:
    def slower(batch: int, uniform: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return 1.25 * _lognormal(batch, uniform)

    write_samples(_samples(_lognormal, seed=1), tmp_path / "a.parquet")
    write_samples(_samples(slower, seed=1, started="2026-01-02T00:00:00Z"), tmp_path / "b.parquet")
    profile = fit([tmp_path / "a.parquet", tmp_path / "b.parquet"], "ab")
    assert [cell.n for cell in profile.cells] == [4000] * 3
    assert [cell.between_sessions for cell in profile.cells] == pytest.approx([1.25] * 3, abs=1e-3)
    assert [session.file for session in profile.sessions] == ["a.parquet", "b.parquet"]


def test_the_order_of_the_files_does_not_matter(tmp_path: Path) -> None:
    write_samples(_samples(_lognormal, seed=1), tmp_path / "a.parquet")
    write_samples(_samples(_lognormal, seed=2), tmp_path / "b.parquet")
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    assert profile_text(fit(files, "ab")) == profile_text(fit(files[::-1], "ab"))


def test_warm_up_is_kept_in_the_file_and_out_of_the_fit(tmp_path: Path) -> None:
    samples = _samples(_lognormal, rounds=50)
    cold = {name: np.concatenate([values[:1], values]) for name, values in samples.columns.items()}
    cold["round"][0] = -1
    cold["cpu_ns"][0] = 10**12
    write_samples(Samples(samples.session, ("warm", *samples.phase), cold), tmp_path / "a.parquet")
    profile = fit([tmp_path / "a.parquet"], "a")
    assert profile.sessions[0].rows == 151
    assert profile.cells[0].n == 50
    assert max(profile.fit.jitter.ratios[0]) < 100


def test_sessions_of_different_models_or_machines_do_not_mix(tmp_path: Path) -> None:
    write_samples(_samples(_lognormal, rounds=20), tmp_path / "a.parquet")
    write_samples(_samples(_lognormal, rounds=20, threads=2), tmp_path / "b.parquet")
    text = _complaint([tmp_path / "a.parquet", tmp_path / "b.parquet"])
    assert "environment.threads" in text
    assert "b.parquet" in text
    write_samples(_samples(_lognormal, rounds=20, batches=(1, 2)), tmp_path / "c.parquet")
    assert "protocol.points" in _complaint([tmp_path / "a.parquet", tmp_path / "c.parquet"])


def test_the_same_session_twice_is_refused(known: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.parquet").write_bytes(known.read_bytes())
    assert "is the same session as" in _complaint([known, tmp_path / "copy.parquet"])


def test_too_few_rounds_are_refused(tmp_path: Path) -> None:
    write_samples(_samples(_lognormal, rounds=LEAST_ROUNDS - 1), tmp_path / "a.parquet")
    assert "too few to fit" in _complaint([tmp_path / "a.parquet"])


def test_samples_without_batch_one_are_refused(tmp_path: Path) -> None:
    write_samples(_samples(_lognormal, rounds=20, batches=(2, 4)), tmp_path / "a.parquet")
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
    write_samples(_samples(_lognormal, rounds=20), path)
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
