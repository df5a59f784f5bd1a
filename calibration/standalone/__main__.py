"""Times Headroom's built-in networks where nothing of Headroom is installed.

Copy the folder `calibration` to the machine and run, from the folder that holds it, `python -m calibration.standalone
--out FOLDER`. One run takes less than `--minutes`; the same command again goes on, also after a run that was cut off.
`headroom calibrate gather FOLDER` then makes samples of it, where Headroom is installed.
"""

from __future__ import annotations

import time

BEGAN = time.perf_counter()

import argparse  # noqa: E402 - the clock of the run starts before the first import
import importlib  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from calibration.standalone.plan import DTYPES, MODES, STEPS, planned  # noqa: E402
from calibration.standalone.running import Slice  # noqa: E402

_ON_GPU = ("encoder,encoder-base,cnn,mlp,resnet,ranker,decoder-1b", "float32,bfloat16", "eager,cudagraph,compile")
_ON_CPU = ("encoder,cnn,mlp,resnet,ranker,decoder", "float32", "eager")
_GPU_BATCHES, _CPU_BATCHES = "1,2,4,8,16,32,64,128,256", "1,2,4,8,16,32"
_STEPS = ",".join(":".join(map(str, step)) for step in STEPS)


def main(words: list[str] | None = None) -> int:
    """Runs one slice; 0 if it measured, 1 if it could not, 2 for a wrong option, 130 for Ctrl-C."""
    asked = _options().parse_args(words)
    try:
        torch = importlib.import_module("torch")
        importlib.import_module("numpy")
    except ImportError as error:
        return _failed(f"{error.name} is not installed here; this needs numpy and torch 2.6 or newer", 1)
    imported = time.perf_counter()
    device = asked.device if asked.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        return _failed("torch finds no CUDA GPU here; use --device cpu", 1)
    if device == "cpu" and "cudagraph" in (asked.modes or ""):
        return _failed("a CUDA graph needs a CUDA GPU; leave cudagraph out of --modes", 2)
    networks, dtypes, modes = _ON_GPU if device == "cuda" else _ON_CPU
    try:
        subjects = planned(
            (asked.networks or networks).split(","),
            (asked.dtypes or dtypes).split(","),
            (asked.modes or modes).split(","),
            _numbers(asked.batches or (_GPU_BATCHES if device == "cuda" else _CPU_BATCHES)),
            _steps(asked.steps),
        )
        work = Slice(
            torch,
            subjects,
            Path(asked.out),
            device=device,
            threads=asked.threads,
            seed=asked.seed,
            rounds=asked.rounds,
            until=BEGAN + asked.minutes * 60,
            import_ns=round((imported - BEGAN) * 1e9),
        )
    except (ValueError, OSError) as error:
        return _failed(str(error), 2)
    try:
        done = work.run()
    except (ValueError, RuntimeError, OSError) as error:
        work.close("failed")
        said = str(error).partition("\n")[0]
        return _failed(f"{type(error).__name__}: {said}", 1)
    if work.interrupted:
        work.close("interrupted")
        return _failed(f"interrupted: {done} complete rounds are kept", 130)
    work.close("time" if done < asked.rounds else "complete")
    more = "complete" if done >= asked.rounds else "the same command again goes on"
    sys.stdout.write(f"{asked.out}: {done} of {asked.rounds} rounds; {more}\n")
    return 0


def _failed(problem: str, code: int) -> int:
    sys.stderr.write(f"{problem}\n")
    return code


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m calibration.standalone",
        description="Time Headroom's built-in networks. One run is one slice; the same command again goes on.",
    )
    options.add_argument("--out", required=True, metavar="FOLDER", help="where the record is, or will be")
    options.add_argument("--minutes", type=_minutes, default=8.0, help="a run ends before so many (default 8)")
    options.add_argument("--rounds", type=_count, default=700, help="in all, over all runs (default 700)")
    options.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    options.add_argument("--threads", type=_count, default=1, help="of the processor, for one call (default 1)")
    options.add_argument("--seed", type=int, default=1, help="of weights, inputs and the order (default 1)")
    options.add_argument("--networks", help=f"on a GPU by default {_ON_GPU[0]}")
    options.add_argument("--dtypes", help=f"of {', '.join(DTYPES)}; on a GPU by default {_ON_GPU[1]}")
    options.add_argument("--modes", help=f"of {', '.join(MODES)}; on a GPU by default {_ON_GPU[2]}")
    options.add_argument("--batches", help=f"on a GPU by default {_GPU_BATCHES}")
    options.add_argument(
        "--steps", default=_STEPS, help="of decoders, PREFILL:DECODE:CONTEXT,... (default: %(default)s)"
    )
    return options


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 1000000")
    return int(text)


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 24 * 60:
        raise argparse.ArgumentTypeError(f"{text!r} is no time from 0 to 1440 minutes")
    return value


def _numbers(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.isdecimal() and 1 <= int(word) <= 65536 for word in words):
        raise ValueError(f"{text!r} are no batch sizes; write them such as 1,2,4,8")
    return [int(word) for word in words]


def _steps(text: str) -> list[tuple[int, int, int]]:
    steps = []
    for word in text.split(","):
        parts = word.split(":")
        if len(parts) != 3 or not all(part.isdecimal() for part in parts):
            raise ValueError(f"{word!r} is no step; write PREFILL:DECODE:CONTEXT such as 128:8:1024")
        steps.append((int(parts[0]), int(parts[1]), int(parts[2])))
    return steps


if __name__ == "__main__":
    sys.exit(main())
