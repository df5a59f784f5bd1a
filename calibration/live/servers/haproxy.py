"""HAProxy before several replicas of a server."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from simulator.errors import MeasurementError

RULES = {"haproxy-roundrobin": "roundrobin", "haproxy-leastconn": "leastconn", "haproxy-random": "random(2)"}


def find() -> str:
    """Where it is. Raises MeasurementError where it is not installed."""
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if found is None:
        raise MeasurementError("haproxy is not installed; apt-get install haproxy, or ask for one replica")
    return found


def command(balancer: str, port: int, servers: Sequence[int], folder: Path) -> list[str]:
    """The words that start it; its configuration is written into `folder`."""
    lines = [
        "global",
        "  nbthread 1",  # turns and counts are kept by each group of threads
        "defaults",
        "  mode http",
        "  timeout connect 5s",
        "  timeout client 60s",
        "  timeout server 60s",
        "frontend load",
        f"  bind 127.0.0.1:{port}",
        "  default_backend replicas",
        "backend replicas",
        f"  balance {RULES[balancer]}",
        *(f"  server replica{number} 127.0.0.1:{server}" for number, server in enumerate(servers, 1)),
    ]
    written = folder / "haproxy.cfg"
    written.write_text("\n".join([*lines, ""]))
    return [find(), "-db", "-f", str(written)]
