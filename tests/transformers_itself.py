"""The scheduler of transformers itself, on a clock that is not real, and the file of its decisions that tests replay.

python -m venv env && env/bin/pip install torch transformers==5.24.0
env/bin/python tests/transformers_itself.py tests/golden/transformers-steps.json
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from random import Random
from typing import Any

STEP = 10_000_000
"""Nanoseconds that every step takes; it computes nothing."""
CASES = 60
ENGINE = Path(__file__).resolve().parents[1] / "calibration" / "live" / "servers" / "transformers_engine.py"


def case(number: int) -> dict[str, Any]:
    """An engine that is short of everything, and what comes to it: when, tokens of the prompt and of the answer."""
    draw = Random(number)
    blocks, page = draw.choice([6, 10, 20, 40]), draw.choice([4, 8])
    room = blocks * page // 2
    settings = {
        "num_blocks": blocks,
        "page_size": page,
        "max_batch_tokens": draw.choice([8, 16, 64]),
        "max_requests_per_batch": draw.choice([3, 1024]),
        "scheduler_type": draw.choice(["fifo", "fifo", "prefill_first"]),
        "safety_margin": draw.choice([0.0, 0.15, 0.2, 0.5]),
        "allow_block_sharing": False,
    }
    asked = [
        [draw.randint(0, 60 * STEP), draw.randint(1, room), draw.randint(1, room)] for _ in range(draw.randint(1, 25))
    ]
    return {"settings": settings, "requests": sorted(asked)}


def said(steps: list[Any], last: list[int]) -> dict[str, Any]:
    """Of a case: how many steps it took, what each computed as a digest, and when each request had its last token."""
    text = json.dumps([[decodes, context, sorted(map(list, chunks))] for decodes, context, chunks in steps])
    return {"steps": len(steps), "digest": hashlib.sha256(text.encode()).hexdigest()[:16], "last": last}


def decided(module: Any, given: dict[str, Any]) -> dict[str, Any]:
    """What transformers makes of a case."""
    engine = module.Engine({"emulated": True, **given["settings"]}, started=False)
    manager, coming = engine.manager, list(enumerate(given["requests"]))[::-1]
    processor = manager._create_batch_processor()
    now, busy, last = 0, False, dict[int, int]()
    while coming or busy:
        if not busy:
            now = max(now, coming[-1][1][0])
        # Whoever comes while it is idle is part of the next step; whoever comes as a step ends is too late.
        while coming and coming[-1][1][0] < now + (not busy):
            number, (_, prompt, output) = coming.pop()
            manager.add_request(engine.tokens(prompt), request_id=str(number), max_new_tokens=output)
        assert processor.prepare_next_batch()
        processor._generation_step(manager.model)
        now += STEP
        processor.update_batch()
        while not manager.output_router.output_queue.empty():
            found = manager.output_router.output_queue.get()
            assert found.error is None, found.error
            last[int(found.request_id)] = now
        busy = processor.has_pending_requests()
    steps = [(decodes, context, chunks) for _, _, _, decodes, context, _, _, chunks in engine.log["steps"]]
    return said(steps, [last[number] for number in range(len(last))])


def decisions(first: int, count: int) -> list[dict[str, Any]]:
    """What transformers makes of the cases from one number on; needs it."""
    spec = importlib.util.spec_from_file_location("transformers_engine", ENGINE)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.EMULATED = (0.0, 0.0, 0.0)
    found = []
    for number in range(first, first + count):
        given = case(number)
        found.append({**given, **decided(module, given)})
    return found


def main() -> None:
    lines = ",\n".join(json.dumps(one) for one in decisions(0, CASES))
    Path(sys.argv[1]).write_text(f"[{lines}]\n")


if __name__ == "__main__":
    main()
