"""NVIDIA Triton: an ordinary model repository with a Python model, and how the server is started.

The server comes from the wheel `nvidia-pytriton` in a virtual environment of its own, because it needs numpy below 2;
or from a folder that holds `bin/tritonserver`.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from calibration.live.client import Endpoint
from calibration.live.servers import triton_model
from calibration.live.servers.setup import Setup
from simulator.errors import MeasurementError

MODEL = "device"
_CONFIG = """name: "{name}"
backend: "python"
max_batch_size: {max_batch}
input [ {{ name: "{input}" data_type: TYPE_INT64 dims: [ 1 ] }} ]
output [ {{ name: "{output}" data_type: TYPE_INT64 dims: [ 6 ] }} ]
instance_group [ {{ count: 1 kind: KIND_CPU }} ]
dynamic_batching {{ max_queue_delay_microseconds: {delay} }}
"""


def command(setup: Setup, port: int, folder: Path, where: Path | None) -> tuple[list[str], dict[str, str]]:
    """The words that start it on a repository written into `folder`, and its environment. Raises MeasurementError."""
    home, binaries = find(where)
    model = folder / "repository" / MODEL
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(
        _CONFIG.format(
            name=MODEL,
            max_batch=setup.max_batch,
            delay=setup.max_delay // 1000,
            input=triton_model.INPUT,
            output=triton_model.OUTPUT,
        )
    )
    shutil.copy(triton_model.__file__, model / "1" / "model.py")
    words = [str(home / "bin" / "tritonserver"), f"--model-repository={model.parent}"]
    words += [f"--backend-directory={_backends(home, folder)}", "--http-address=127.0.0.1", f"--http-port={port}"]
    libraries = [sysconfig.get_config_var("LIBDIR"), *home.glob("../../nvidia_pytriton.libs")]
    variables = {
        "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
        # The Python inside Triton takes its packages, and a numpy that it can use, from the first python3 on the path.
        "PATH": os.pathsep.join([*binaries, os.environ.get("PATH", "")]),
        triton_model.LARGEST: str(setup.max_batch),
        triton_model.PATH: os.pathsep.join(item for item in [str(_root()), *sys.path] if item),
    }
    return [*words, "--allow-grpc=false", "--allow-metrics=false"], variables


def endpoint(port: int) -> Endpoint:
    """Where it answers."""
    body = f'{{"inputs":[{{"name":"{triton_model.INPUT}","shape":[1,1],"datatype":"INT64","data":[0]}}]}}'
    return Endpoint(port, f"/v2/models/{MODEL}/infer", body)


def _root() -> Path:
    """The folder that Headroom's rooms are in."""
    return Path(__file__).resolve().parents[3]


def _backends(home: Path, folder: Path) -> Path:
    """A folder of backends with the stub for this Python, which the wheel keeps elsewhere."""
    name = "triton_python_backend_stub"
    found = home / "backends" / "python"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = home / "python_backend_stubs" / version / name
    if (found / name).exists():
        return found.parent
    if not stub.exists():
        raise MeasurementError(f"{home} has no Python backend for Python {version}; run Headroom on another Python")
    made = folder / "backends" / "python"
    made.mkdir(parents=True)
    for item in (*found.glob("*.so"), *found.glob("*.py"), stub):
        (made / item.name).symlink_to(item)
    return made.parent


def find(where: Path | None) -> tuple[Path, list[str]]:
    """The folder with `bin` and `backends`, and that of its own Python where it has one. Raises MeasurementError."""
    if where is None:
        found = shutil.which("tritonserver")
        if found is None:
            raise MeasurementError(
                "tritonserver is not on PATH; in a virtual environment of its own: "
                "pip install nvidia-pytriton 'numpy<2', then --triton ITS_FOLDER"
            )
        return Path(found).resolve().parents[1], []
    for home in (where, *sorted(where.glob("lib/python3*/site-packages/pytriton/tritonserver"))):
        if (home / "bin" / "tritonserver").exists():
            return home.resolve(), [] if home == where else [str(where.absolute() / "bin")]
    raise MeasurementError(f"{where} holds no tritonserver; name a virtual environment with nvidia-pytriton in it")
