"""Ray Serve with replicas that sleep: started as a script by a Python that has Ray, whether or not it has Headroom.

    python ray_serve.py '{"port": 8123, "folder": "/tmp/x", "sleep": 0.5, "start": 3, "max_ongoing": 4, ...}'

`folder` is where Ray keeps its files, `autoscaling` its autoscaling_config, `workers` how many processes it starts
beforehand. Ends when its input does.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import time
from typing import Any

PROMPT = {"RAY_SERVE_ROUTER_RETRY_INITIAL_BACKOFF_S": "0.01", "RAY_SERVE_ROUTER_RETRY_MAX_BACKOFF_S": "0.02"}
"""So long a handle waits before it asks full replicas again; 0.025 and 0.5 unless told, which leaves replicas idle."""


def main() -> None:
    """Deploys, and waits."""
    asked = json.loads(sys.argv[1])
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", **PROMPT}
    ray: Any = importlib.import_module("ray")
    serve: Any = importlib.import_module("ray.serve")
    memory = 100 * 2**20
    ray.init(
        num_cpus=asked["workers"],
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=memory,
        _temp_dir=asked["folder"],
    )
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": asked["port"]})

    class Sleeper:
        def __init__(self) -> None:
            time.sleep(asked["start"])

        async def __call__(self, request: Any) -> str:
            await asyncio.sleep(asked["sleep"])
            return "slept"

    deployment = serve.deployment(
        name="Sleeper",
        max_ongoing_requests=asked["max_ongoing"],
        ray_actor_options={"num_cpus": 0},
        autoscaling_config=asked["autoscaling"],
    )
    serve.run(deployment(Sleeper).bind(), name="headroom", route_prefix="/")
    sys.stdin.read()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
