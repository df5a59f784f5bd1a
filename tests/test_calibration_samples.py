import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from calibration.profile import FOLDER, load_profile
from calibration.samples import read_samples
from simulator.errors import InputError

FIRST = FOLDER / "cnn-epyc-1t.1.samples.parquet"


def test_samples_of_the_first_release_are_read_as_todays() -> None:
    raw = json.loads(pq.read_schema(FIRST).metadata[b"headroom"])
    assert raw["schema_version"] == 1
    samples = read_samples(FIRST).samples
    session = samples.session
    assert (session.schema_version, session.protocol.axes) == (2, ("batch",))
    assert [list(point) for point in session.protocol.points] == [[batch] for batch in raw["protocol"]["batches"]]
    assert session.environment.torch is not None
    assert session.environment.torch.matmul_precision == raw["environment"]["matmul_precision"]
    assert session.environment.libraries["torch"] == raw["environment"]["torch"]
    assert len(samples.measured((8,), "cpu_ns")) == raw["protocol"]["rounds"]
    assert set(samples.columns["process"]) == {0}


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.parquet")), ids=lambda file: file.name)
def test_no_shipped_samples_were_ever_rewritten(file: Path) -> None:
    golden = Path(__file__).parent / "golden" / "profile-1.0.0-measured.json"
    first = {session["file"]: session["sha256"] for session in json.loads(golden.read_text())["sessions"]}
    today = {session.file: session.sha256 for path in FOLDER.glob("*.json") for session in load_profile(path).sessions}
    assert read_samples(file).sha256 == today[file.name] == first.get(file.name, today[file.name])


def _with_record(change: Any, path: Path) -> Path:
    table = pq.read_table(FIRST)
    record = json.loads(table.schema.metadata[b"headroom"])
    pq.write_table(table.replace_schema_metadata({b"headroom": json.dumps(change(record))}), path)
    return path


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda record: {**record, "schema_version": 3}, "3 is not a known version; this release reads 1 and 2"),
        (lambda record: {**record, "protocol": {}}, "version 1 does not fit the rest of the record"),
        (lambda record: [record], "None is not a known version"),
        (lambda record: {**record, "protocol": {**record["protocol"], "rounds": 0}}, "protocol.rounds: 0"),
    ],
)
def test_a_record_that_cannot_be_read_is_one_line(change: Any, problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_samples(_with_record(change, tmp_path / "a.parquet"))
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
