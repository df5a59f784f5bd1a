"""Readers of other tools' files: load tests become observations, tables of service times become profiles.

An importer is a choice of one of two families, `LoadTest` and `Timings`: defining one enters it.
"""

from calibration.importers import (
    ab,
    aiperf,
    autocannon,
    deep_learning_examples,
    genai_perf,
    guidellm,
    hey,
    k6,
    llmservingsim,
    locust,
    model_analyzer,
    perf_analyzer,
    plain_samples,
    splitwise,
    triton_timings,
    vllm,
    wrk,
)
from calibration.importers.base import LoadTest, Timings, read_load_test, read_timings

__all__ = [
    "LoadTest",
    "Timings",
    "ab",
    "aiperf",
    "autocannon",
    "deep_learning_examples",
    "genai_perf",
    "guidellm",
    "hey",
    "k6",
    "llmservingsim",
    "locust",
    "model_analyzer",
    "perf_analyzer",
    "plain_samples",
    "read_load_test",
    "read_timings",
    "splitwise",
    "triton_timings",
    "vllm",
    "wrk",
]
