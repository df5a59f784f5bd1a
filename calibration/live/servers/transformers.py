"""Continuous batching of transformers, run by the script `transformers_engine`: how it is started and asked.

It comes from a virtual environment of its own, which needs nothing of Headroom.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calibration.live.client import Endpoint
from calibration.live.servers import transformers_engine
from simulator.errors import MeasurementError

PACKAGES = "lib/python3*/site-packages/transformers/generation/continuous_batching"
ENDING = 60.0
"""Seconds that an engine may take for what is left when a load has ended."""
FIX = "in a virtual environment of its own: pip install torch transformers, then --transformers ITS_FOLDER"


def find(where: Path | None) -> Path:
    """The Python of a virtual environment with a transformers that has continuous batching. Raises MeasurementError.

    Without one: this Python, where transformers is installed beside Headroom.
    """
    if where is None:
        if importlib.util.find_spec("transformers") is None:
            raise MeasurementError(f"transformers is not installed; {FIX}")
        return Path(sys.executable)
    if not list(where.glob(PACKAGES)):
        raise MeasurementError(f"{where} holds no transformers of version 5; {FIX}")
    return where.absolute() / "bin" / "python"


def command(python: Path, asked: Mapping[str, Any], port: int) -> list[str]:
    """The words that start it, apart from what this Python and this folder would offer it."""
    return [str(python), "-I", transformers_engine.__file__, json.dumps({"port": port, **asked})]


def endpoint(port: int) -> Endpoint:
    """Where it answers; the body is a small request."""
    return Endpoint(port, "/", body(-1, 8, 2))


def body(number: int, prompt: int, output: int) -> str:
    """What a request says."""
    return json.dumps({"number": number, "prompt": prompt, "output": output})


def log(where: Endpoint) -> dict[str, Any]:
    """Requests and steps since it was last asked, once all are answered. Raises MeasurementError."""
    until = time.monotonic() + ENDING
    found: dict[str, Any] = {"under_way": 1, "requests": [], "steps": []}
    while found["under_way"] and time.monotonic() < until:
        asked = http.client.HTTPConnection(where.host, where.port, timeout=ENDING)
        try:
            asked.request("POST", "/log")
            told = json.loads(asked.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise MeasurementError(f"the engine does not tell its log: {error}") from None
        finally:
            asked.close()
        found = {name: value + told[name] if name != "under_way" else told[name] for name, value in found.items()}
        time.sleep(0.05 if found["under_way"] else 0)
    if found["under_way"]:
        raise MeasurementError(f"the engine still had {found['under_way']} requests {ENDING:g} s after the load")
    return found
