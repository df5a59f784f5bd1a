"""Ray Serve with replicas that sleep: started as a script by a Python that has Ray, whether or not it has Headroom.

    python ray_serve.py '{"port": 8123, "sleep": 0.5, "start": 3, "max_ongoing": 4, "autoscaling": {...}}'

Writes a line of JSON wherever the replicas change: `at` (nanoseconds of the monotonic clock), `wanted` (those starting
or running) and `running`. Ends when its input does.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import threading
import time
from typing import Any

LOOK = 0.1
"""Seconds between two looks at the replicas."""
DEPLOYMENT, APPLICATION = "Sleeper", "headroom"


def main() -> None:
    """Deploys, and tells of the replicas."""
    asked = json.loads(sys.argv[1])
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray: Any = importlib.import_module("ray")
    serve: Any = importlib.import_module("ray.serve")
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": asked["port"]})

    class Sleeper:
        def __init__(self) -> None:
            time.sleep(asked["start"])

        async def __call__(self, request: Any) -> str:
            await asyncio.sleep(asked["sleep"])
            return "slept"

    deployment = serve.deployment(
        name=DEPLOYMENT,
        max_ongoing_requests=asked["max_ongoing"],
        ray_actor_options={"num_cpus": 0},
        autoscaling_config=asked["autoscaling"],
    )(Sleeper)
    told = threading.Thread(target=_tell, args=(serve,), daemon=True)
    told.start()
    serve.run(deployment.bind(), name=APPLICATION, route_prefix="/")
    sys.stdin.read()
    serve.shutdown()
    ray.shutdown()


def _tell(serve: Any) -> None:
    before: tuple[int, int] | None = None
    while True:
        application = serve.status().applications.get(APPLICATION)
        found = application.deployments.get(DEPLOYMENT) if application else None
        states = found.replica_states if found else {}
        running = states.get("RUNNING", 0)
        now = (running + states.get("STARTING", 0), running)
        if now != before:
            line = json.dumps({"at": time.monotonic_ns(), "wanted": now[0], "running": now[1]})
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
            before = now
        time.sleep(LOOK)


if __name__ == "__main__":
    main()
