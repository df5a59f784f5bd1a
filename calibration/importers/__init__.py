"""Readers of other tools' files: load tests become observations, tables of service times become profiles.

An importer is a choice of one of two families, `LoadTest` and `Timings`: defining one enters it.
"""

from calibration.importers import (
    ab,
    aiperf,
    autocannon,
    genai_perf,
    guidellm,
    hey,
    k6,
    locust,
    model_analyzer,
    perf_analyzer,
    vllm,
    wrk,
)
from calibration.importers.base import LoadTest, read_load_test

__all__ = [
    "LoadTest",
    "ab",
    "aiperf",
    "autocannon",
    "genai_perf",
    "guidellm",
    "hey",
    "k6",
    "locust",
    "model_analyzer",
    "perf_analyzer",
    "read_load_test",
    "vllm",
    "wrk",
]
