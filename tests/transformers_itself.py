"""The scheduler of transformers itself, on a clock that is not real: a script for a Python that has transformers.

    python transformers_itself.py ENGINE < '[{"settings": {...}, "requests": [[arrived, prompt, output], ...]}, ...]'

ENGINE is the file of Headroom's `transformers_engine`. Every step takes STEP nanoseconds and computes nothing; requests
ascend. Writes for each case the steps, as (decodes, context, chunks), and when each request had its last token.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from typing import Any

STEP = 10_000_000


def steps(module: Any, case: dict[str, Any]) -> dict[str, Any]:
    """What becomes of one case."""
    engine = module.Engine({"emulated": True, **case["settings"]}, started=False)
    manager = engine.manager
    processor = manager._create_batch_processor()
    processor.distributed_helper.set_tp_seed(0, manager.model.device)
    waiting, now, last = list(reversed(list(enumerate(case["requests"])))), 0, {}
    log, busy = engine.log["steps"], False
    while waiting or busy:
        if not busy:
            now = max(now, waiting[-1][1][0])
        while waiting and (waiting[-1][1][0] < now or (not busy and waiting[-1][1][0] <= now)):
            number, (_, prompt, output) = waiting.pop()
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
    told = [(decodes, context, chunks) for _, _, _, decodes, context, _, _, chunks in log]
    return {"steps": told, "last": [last[number] for number in range(len(case["requests"]))]}


def main() -> None:
    spec = importlib.util.spec_from_file_location("transformers_engine", sys.argv[1])
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.EMULATED = (0.0, 0.0, 0.0)
    json.dump([steps(module, case) for case in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
