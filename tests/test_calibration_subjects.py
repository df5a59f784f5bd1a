import gc
import http.server
import importlib
import json
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import missing

from calibration.fitting.grid import LEAST_ROUNDS
from calibration.fitting.recipe import fit
from calibration.measuring import grid_plan, measure
from calibration.samples import Samples, write_samples
from calibration.subjects import Setting, open_subject
from simulator.errors import HeadroomError


def _measured(subject: str, rounds: int = 2, setting: Any = None, **values: Any) -> Samples:
    grid: dict[Any, Any] = {"batch": (1, 2), **values}
    return measure(grid_plan(subject, grid, rounds, Setting.model_validate(setting or {})))


def _complaint(subject: str, setting: Any = None, **values: Any) -> str:
    with pytest.raises(HeadroomError) as caught:
        _measured(subject, 1, setting, **values)
    text = str(caught.value)
    assert "\n" not in text
    return text


def _module(name: str, package: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        missing(f"{name} is not installed: pip install {package}")


# A model of scikit-learn.


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> Any:
    module: Any = types.ModuleType("mine")
    monkeypatch.setitem(sys.modules, "mine", module)
    return module


def test_a_fitted_estimator_is_timed_on_rows_of_its_features(mine: Any) -> None:
    linear: Any = _module("sklearn.linear_model", "scikit-learn")
    shapes = []

    class Watched(linear.LinearRegression):  # type: ignore[misc]  # Any to mypy
        def predict(self, rows: Any) -> Any:
            shapes.append(rows.shape)
            return super().predict(rows)

    mine.make = lambda: Watched().fit(np.eye(5), np.arange(5.0))
    session = _measured("mine:make").session
    assert set(shapes) == {(1, 5), (2, 5)}
    assert (session.subject.inputs, session.subject.mode) == ("nx5", "predict")
    assert session.environment.torch is None
    assert "numpy" in session.environment.libraries


def test_an_estimator_that_says_nothing_of_its_inputs_is_one_line(mine: Any) -> None:
    class Bare:
        def predict(self, rows: Any) -> Any:
            return rows

    mine.make = Bare
    assert "nothing says what the inputs of this model are" in _complaint("mine:make")
    assert _measured("mine:make", setting={"input_shape": [3]}).session.subject.inputs == "nx3"
    assert "--stages: a model with predict knows no such setting" in _complaint("mine:make", {"stages": True})


def test_a_call_that_the_garbage_collector_disturbed_is_tagged(mine: Any) -> None:
    class Collecting:
        def example_inputs(self, batch: int) -> Any:
            return [0] * batch

        def predict(self, rows: Any) -> Any:
            return gc.collect(0) if len(rows) == 2 else 0

    mine.make = Collecting
    samples = _measured("mine:make", rounds=20)
    assert np.all(samples.measured((2,), "collected") == 1)
    assert np.sum(samples.measured((1,), "collected")) <= 2
    assert not gc.callbacks or all("Stopwatch" not in repr(function) for function in gc.callbacks)


# An ONNX file.


@pytest.fixture
def onnx_file(tmp_path: Path) -> Any:
    """A function (shape of the input) -> file of a model that adds its input to itself."""
    _module("onnxruntime", "onnxruntime")
    onnx = _module("onnx", "onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT

    def write(shape: list[Any], kind: int = kind) -> str:
        described = [helper.make_tensor_value_info(name, kind, shape) for name in ("x", "y")]
        graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", described[:1], described[1:])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, tmp_path / "double.onnx")
        return str(tmp_path / "double.onnx")

    return write


def test_an_onnx_file_is_run_by_onnxruntime(onnx_file: Any) -> None:
    session = _measured(onnx_file(["n", 3, 4]), threads=(1, 2)).session
    assert session.protocol.axes == ("batch", "threads")
    assert (session.subject.name, session.subject.inputs, session.subject.dtype) == ("double", "nx3x4", "float")
    assert session.subject.weights_sha256 is not None
    assert set(session.environment.libraries) == {"onnxruntime", "numpy"}


def test_an_open_size_of_an_onnx_file_is_a_sequence_or_must_be_said(onnx_file: Any) -> None:
    file = onnx_file(["n", "s", 4])
    assert _measured(file, seq=(5, 7)).session.protocol.points == ((1, 5), (1, 7), (2, 5), (2, 7))
    assert "input x leaves 's' open" in _complaint(file)
    assert _measured(file, setting={"input_shape": [2, 4]}).session.protocol.rounds == 2


def test_a_fixed_batch_of_an_onnx_file_is_named(onnx_file: Any) -> None:
    assert "input x has the fixed shape [1, 3], not a batch of 2" in _complaint(onnx_file([1, 3]))
    assert "no open second size" in _complaint(onnx_file(["n", 3]), seq=(4,))


def test_a_broken_onnx_file_is_one_line(onnx_file: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    assert "onnxruntime cannot load it" in _complaint(str(tmp_path / "broken.onnx"))
    assert "there is no such ONNX file" in _complaint(str(tmp_path / "none.onnx"))


# A command.


def test_a_command_is_started_for_each_batch_and_its_processor_time_counted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    samples = _measured(f"command: sh -c 'echo $0 >> {log}' {{batch}}", rounds=1)
    sizes = [int(word) for word in log.read_text().split()]
    assert sizes == samples.columns["batch"].tolist()
    assert samples.session.protocol.cpu_clock == "children"
    assert np.all(samples.columns["cpu_ns"] > 0)
    assert "switches" not in samples.columns


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("command: ", "no command is given"),
        ("command: no-such-program-here", "'no-such-program-here' cannot be started"),
        ("command: 'half", "cannot be split into words"),
        (
            "command: sh -c 'echo no model >&2; exit 1'",
            "at batch 1: it ended with 1: no model",
        ),
    ],
)
def test_a_command_that_does_not_work_is_one_line(command: str, problem: str) -> None:
    assert problem in _complaint(command, batch=(1,))


def test_a_command_without_a_place_for_the_batch_has_only_batch_one() -> None:
    assert "no place for a batch of 2" in _complaint("command: true")
    assert "2 threads cannot be asked of command" in _complaint("command: true", batch=(1,), threads=(2,))


# A service.


@pytest.fixture
def service() -> Iterator[tuple[str, list[Any]]]:
    """Address of a service that answers, and the bodies that it was sent; /broken answers 500."""
    bodies: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            self.send_response(500 if self.path == "/broken" else 200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *words: Any) -> None:
            """Quietly."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", bodies
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_batch_of_a_service_is_one_request_with_as_many_items(service: tuple[str, list[Any]], tmp_path: Path) -> None:
    address, bodies = service
    (tmp_path / "body").write_text('{"shape": [{batch}, 2], "data": [<<[0.5, 1]>>]}')
    session = _measured(f"{address}/predict", setting={"body": str(tmp_path / "body")}).session
    asked = {json.dumps(body) for body in bodies}
    assert asked == {json.dumps({"shape": [batch, 2], "data": [[0.5, 1]] * batch}) for batch in (1, 2)}
    assert (session.subject.name, session.subject.description) == ("predict", "POST /predict")


def test_the_profile_of_a_service_says_what_is_in_its_times(service: tuple[str, list[Any]], tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_samples(_measured(service[0], rounds=LEAST_ROUNDS, batch=(1,)), path)
    profile = fit([path], "service")
    assert profile.fit.clock == "wall"
    assert any("from its first byte sent to the last byte of the answer" in limit for limit in profile.limits)
    assert not any("forward pass" in limit for limit in profile.limits)


def test_a_service_that_cannot_be_asked_is_one_line(service: tuple[str, list[Any]], tmp_path: Path) -> None:
    address, _ = service
    assert "nothing says how to ask for a batch of 2" in _complaint(address)
    assert "failed at batch 1: the answer was 500" in _complaint(f"{address}/broken", batch=(1,))
    assert "there is no such body of a request" in _complaint(address, {"body": str(tmp_path / "none")})
    assert "failed at batch 1: no answer (ConnectionRefusedError" in _complaint("http://127.0.0.1:1", batch=(1,))
    assert "names no host" in _complaint("http://", batch=(1,))
    assert _measured(address, batch=(1,)).session.subject.inputs == "a request without a body"


# The grid.


def test_a_grid_is_every_combination_and_one_number_of_threads_is_no_axis() -> None:
    plan = grid_plan("cnn", {"batch": (2, 1), "threads": (2,)})
    assert (plan.axes, plan.points, plan.threads) == (("batch",), ((1,), (2,)), 2)
    plan = grid_plan("cnn", {"threads": (1, 2), "batch": (1, 4), "seq": (8,)})
    assert plan.axes == ("batch", "seq", "threads")
    assert plan.points == ((1, 8, 1), (1, 8, 2), (4, 8, 1), (4, 8, 2))
    assert plan.at((4, 8, 2)) == {"batch": 4, "seq": 8}
    assert [plan.threads_at(point) for point in plan.points] == [1, 2, 1, 2]


def test_a_step_that_does_nothing_is_left_out_and_a_context_needs_sequences() -> None:
    plan = grid_plan("decoder", {"prefill": (0, 16), "decode": (0, 2), "context": (8, 32)})
    # By hand: (0, 0, _) does nothing; (16, 0, _) has no sequences, so its context is 0, once.
    assert plan.points == ((0, 2, 8), (0, 2, 32), (16, 0, 0), (16, 2, 8), (16, 2, 32))
    assert grid_plan("decoder", {"prefill": (4,)}).points == ((4, 0, 0),)


# Torch models.


@pytest.fixture
def torch() -> Any:
    return _module("torch", "'inference-headroom[calibration]'")


@pytest.mark.parametrize("name", ["mlp", "ranker", "resnet"])
def test_a_built_in_model_runs(name: str, torch: Any) -> None:
    assert _measured(name, rounds=1).session.subject.origin == "built-in"


def test_the_step_of_a_decoder_is_timed_along_its_axes(torch: Any) -> None:
    plan = grid_plan("decoder", {"prefill": (0, 4), "decode": (0, 1), "context": (3,)}, 1)
    samples = measure(plan)
    assert samples.session.protocol.points == ((0, 1, 3), (4, 0, 0), (4, 1, 3))
    assert len(samples.measured((4, 1, 3), "wall_ns")) == 1
    assert "decoder has no axis batch; it is measured along prefill, decode, context" in _complaint("decoder")


def test_an_encoder_has_sequences_for_an_axis(torch: Any) -> None:
    assert _measured("encoder", rounds=1, seq=(4, 8)).session.protocol.axes == ("batch", "seq")
    assert "cnn has no axis seq" in _complaint("cnn", seq=(4,))


def test_threads_are_an_axis_within_the_rounds(torch: Any, mine: Any) -> None:
    seen = []

    class Told(torch.nn.Module):  # type: ignore[misc]  # torch is Any to mypy
        def example_inputs(self, batch: int) -> Any:
            return torch.ones(batch)

        def forward(self, x: Any) -> Any:
            seen.append(torch.get_num_threads())
            return x

    mine.make = Told
    samples = _measured("mine:make", rounds=5, threads=(1, 2))
    assert seen == samples.columns["threads"].tolist()
    assert samples.session.protocol.cpu_clock == "process"
    # Every timed call comes after one with as many threads.
    timed = np.flatnonzero(samples.columns["round"] >= 0)
    np.testing.assert_array_equal(samples.columns["threads"][timed], samples.columns["threads"][timed - 1])


def test_each_stage_is_timed_apart(torch: Any, mine: Any) -> None:
    class Staged(torch.nn.Module):  # type: ignore[misc]  # torch is Any to mypy
        def example_inputs(self, batch: int) -> Any:
            return torch.ones(batch, 3)

        def example_requests(self, batch: int) -> Any:
            return ["1 1 1"] * batch

        def preprocess(self, requests: Any) -> Any:
            return (torch.tensor([[float(word) for word in text.split()] for text in requests]),)

        def forward(self, x: Any) -> Any:
            assert x.shape[1:] == (3,)
            return 2 * x

        def postprocess(self, output: Any) -> Any:
            assert output.sum() == 6 * len(output)
            return output.tolist()

    mine.make = Staged
    samples = _measured("mine:make", setting={"stages": True})
    assert samples.session.protocol.stages == ("preprocess", "postprocess")
    for column in ("preprocess_ns", "wall_ns", "postprocess_ns"):
        assert np.all(samples.columns[column] > 0)
    assert _measured("cnn", rounds=1, setting={"stages": True}).session.protocol.stages == ("preprocess",)
    assert "--stages" in _step_complaint()


def _step_complaint() -> str:
    with pytest.raises(HeadroomError) as caught:
        measure(grid_plan("decoder", {"decode": (1,)}, 1, Setting(stages=True)))
    return str(caught.value)


def test_a_dtype_is_that_of_weights_and_inputs(torch: Any) -> None:
    assert _measured("mlp", rounds=1, setting={"dtype": "bfloat16"}).session.subject.dtype == "bfloat16"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler about itself
def test_a_compiled_model_gives_what_the_eager_one_gives(torch: Any) -> None:
    outputs = []
    for mode in ("eager", "compile"):
        with closing(open_subject("mlp", Setting.model_validate({"mode": mode}))) as target:
            assert target.facts.mode == mode
            works = [target.work({"batch": batch}) for batch in (1, 3)]
            outputs.append([work.compute(work.inputs).numpy() for work in works])
    for eager, compiled in zip(*outputs, strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=1e-4, atol=1e-5)
