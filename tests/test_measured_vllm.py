"""vLLM 0.19 on an RTX PRO 6000: 300 requests to Llama 3.1 8B at about 10/s, from the layer profile of that GPU.

Arrivals and lengths are replayed; steps are those of LLMServingSim's profile of the same GPU and version, and nothing
is fitted to the log. The client is in the same process: a millisecond for a request to come in. A window of 66 s that
begins and ends empty, with 128 places that are full for most of it: its quantiles are those of this window.

![Requests that run and that wait, second by second, in the log and simulated](vllm-log.svg)
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from llm_serving import Served, serve, settings

from calibration.llm.layers import layer_table
from scenarios.load import Loaded, validate
from scenarios.lookup import Files
from simulator.llm.front_end import FrontEnd
from simulator.llm.job import Job
from simulator.llm.layers import Layers
from simulator.llm.loop import Loop
from simulator.run.engine import simulate
from simulator.run.recording import COMPLETED
from simulator.streams import Floats

PROFILE = "calibration/llmservingsim_profile/RTXPRO6000__meta-llama__Llama-3.1-8B__bf16__meta.yaml"
FIGURES = ("mean", "p50", "p90", "p95", "p99")
"""Milliseconds."""


def rows(data: Path) -> list[dict[str, str]]:
    with (data / "measured" / "vllm_poisson10_requests.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def figures(times: Floats) -> Floats:
    return np.array([times.mean(), *np.quantile(times, (0.5, 0.9, 0.95, 0.99))])


@cache
def replayed(data: Path) -> Served:
    """The log's requests, served by the simulator."""
    table = layer_table(data / PROFILE, layers=32).model_copy(update={"largest_graph": 256})
    engine = settings(max_num_seqs=128, max_num_batched_tokens=2048)
    jobs = [
        Job(number, int(row["input_toks"]), int(row["output_toks"]), round(float(row["arrival_s"]) * 1e9))
        for number, row in enumerate(rows(data))
    ]
    front = FrontEnd(there=1_000_000)
    return serve(Loop(engine.planner(), Layers(table), Served(front)), front, jobs)


def comparisons(data: Path) -> Iterator[tuple[str, Floats, Floats]]:
    """(name, measured, simulated) by FIGURES, for a table; `data` is the folder of public data."""
    served, log = replayed(data), rows(data)
    many = np.array([job.output - 1 for job in served.jobs])
    tpot = (served.latency - served.ttft)[many > 0] / many[many > 0]
    for name, times in (("ttft", served.ttft), ("tpot", tpot), ("e2e", served.latency)):
        yield name, figures(np.array([float(row[f"{name}_ms"]) for row in log])), figures(times)


def present(data: Path) -> Iterator[tuple[int, int, int, int, int]]:
    """Second by second: those that run, in the log and in the simulator, and those that wait."""
    ends, running, waiting = np.array(replayed(data).steps).T
    with (data / "measured" / "vllm_poisson10_timeseries.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            place = np.searchsorted(ends, float(row["t"]) * 1e9)
            found = (0, 0) if place == len(ends) else (int(running[place]), int(waiting[place]))
            yield round(float(row["t"])), int(row["running"]), found[0], int(row["waiting"]), found[1]


def test_a_log_of_vllm_is_found_again_from_the_layer_profile_of_its_gpu(shared_data: Path) -> None:
    errors = {name: found / real - 1 for name, real, found in comparisons(shared_data)}
    assert abs(errors["tpot"][0]) <= 0.03
    assert abs(errors["e2e"][0]) <= 0.04
    assert abs(errors["e2e"][-1]) <= 0.06
    assert abs(errors["ttft"][0]) <= 0.08


def test_as_many_run_and_wait_second_by_second(shared_data: Path) -> None:
    course = np.array(list(present(shared_data)))
    assert np.abs(course[:, 1] - course[:, 2]).mean() <= 4
    assert np.abs(course[:, 3] - course[:, 4]).mean() <= 4


def scenario(data: Path, trace: Path) -> Loaded:
    """The same as a user writes it."""
    service = {"kind": "llm_layers", "file": str(data / PROFILE), "layers": 32, "largest_graph": 256}
    batching = {
        "kind": "continuous",
        "kv_tokens": 1 << 24,
        "max_num_seqs": 128,
        "max_num_batched_tokens": 2048,
        "front_end": {"there": "1ms"},
    }
    sizes = {name: {"kind": "joint", "column": name} for name in ("input_tokens", "output_tokens")}
    workload = {"model": "llama", "arrivals": {"kind": "trace", "file": str(trace)}, "sizes": sizes}
    stage = {"pool": "gpus", "service": {"rtx": service}}
    written = {
        "schema_version": 1,
        "title": "A log of vLLM",
        "workloads": {"log": workload},
        "models": {"llama": {"type": "llm", "memory": "16GiB", "stages": [stage]}},
        "pools": {"gpus": {"instance": "rtx", "balancer": "round_robin", "batching": batching}},
        "instances": {"rtx": {"price": "$1/h", "cores": 8, "memory": "64GiB"}},
        "run": {"replications": 1},
    }
    return Loaded(validate(written), Files(trace.parent), "vllm.yaml")


def test_a_scenario_says_the_same_as_the_engine_alone(shared_data: Path, tmp_path: Path) -> None:
    trace = tmp_path / "log.csv"
    lines = [f"{row['arrival_s']},{row['input_toks']},{row['output_toks']}" for row in rows(shared_data)]
    trace.write_text("\n".join(["timestamp_s,input_tokens,output_tokens", *lines]) + "\n")
    run = simulate(scenario(shared_data, trace).case(), 0)
    assert (run.outcome == COMPLETED).all()
    assert len(run.arrived) == 300
    times = {"ttft": run.timings["ttft"], "tpot": run.timings["tpot"], "e2e": run.latency}
    for name, _, alone in comparisons(shared_data):
        found = figures(times[name][times[name] >= 0] / 1e6)
        np.testing.assert_allclose(found, alone, rtol=0.01, err_msg=name)
