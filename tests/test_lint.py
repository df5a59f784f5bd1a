"""Every rule of the lint: a manifest that it blames, and a near twin that it does not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from scenarios.load import load
from scenarios.manifests import bind, lint
from scenarios.manifests.documents import Document
from scenarios.scaling_lint import Looked, lint_against
from scenarios.scaling_subject import place
from simulator.errors import InputError
from ui.cli import main

Data = dict[str, Any]


def named(kind: str, spec: Data, **more: Any) -> Document:
    data = {"kind": kind, "metadata": {"name": "llm"}, "spec": spec} | more
    return Document(kind, "llm", "default", "m.yaml", data)


def external(name: str, target: float | str, sort: str = "AverageValue") -> Data:
    field = {"AverageValue": "averageValue", "Value": "value"}[sort]
    return {"type": "External", "external": {"metric": {"name": name}, "target": {"type": sort, field: target}}}


def pods(name: str, target: float | str) -> Data:
    return {
        "type": "Pods",
        "pods": {"metric": {"name": name}, "target": {"type": "AverageValue", "averageValue": target}},
    }


def cpu(percent: int) -> Data:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def hpa(*metrics: Data, **spec: Any) -> Document:
    base: Data = {"scaleTargetRef": {"kind": "Deployment", "name": "llm"}, "minReplicas": 1, "maxReplicas": 9}
    base["metrics"] = list(metrics) or [external("requests_in_flight", 4)]
    return named("HorizontalPodAutoscaler", base | spec, apiVersion="autoscaling/v2")


def keda(
    query: str = "sum(http_requests_in_flight)", trigger: Data | None = None, about: Data | None = None, **spec: Any
) -> Document:
    one = {"type": "prometheus", "metadata": {"query": query, "threshold": "4"} | (about or {})} | (trigger or {})
    base = {"scaleTargetRef": {"name": "llm"}, "minReplicaCount": 1, "maxReplicaCount": 9, "triggers": [one]}
    return named("ScaledObject", base | spec, apiVersion="keda.sh/v1alpha1")


def deployment(resources: Data | None = None, **more: Any) -> Document:
    deadline = {"progressDeadlineSeconds": more.pop("deadline")} if "deadline" in more else {}
    container = {"name": "llm", "resources": resources or {}} | more
    return named("Deployment", {"template": {"spec": {"containers": [container]}}} | deadline)


def ray(**config: Any) -> Document:
    deployments = [{"name": "llm", "max_ongoing_requests": 8, "autoscaling_config": {"max_replicas": 4} | config}]
    return Document("ServeConfig", "llm", "default", "s.yaml", {"applications": [{"deployments": deployments}]})


def behavior(**sides: Any) -> Data:
    return {"behavior": {"scaleUp": {}, "scaleDown": {}} | sides}


def advanced(**sides: Any) -> Data:
    return {"advanced": {"horizontalPodAutoscalerConfig": behavior(**sides)}}


PERCENT = {"policies": [{"type": "Percent", "value": 50, "periodSeconds": 15}]}
BOTH = {"policies": [*PERCENT["policies"], {"type": "Pods", "value": 4, "periodSeconds": 15}]}
CPU = {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}}
MORE = {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "4"}}}
ALONE = [
    ("never-scales", [hpa(minReplicas=9)], [hpa(minReplicas=8)]),
    ("never-scales", [keda(minReplicaCount=9)], [keda(minReplicaCount=8)]),
    ("never-scales", [ray(max_replicas=1)], [ray(max_replicas=2)]),
    ("zero-needs-gate", [hpa(minReplicas=0)], [hpa()]),
    ("nothing-wakes", [hpa(cpu(60), minReplicas=0)], [hpa(cpu(60), external("queue_size", 5), minReplicas=0)]),
    (
        "nothing-wakes",
        [keda("sum(vllm:num_requests_running)", minReplicaCount=0)],
        [keda("sum(vllm:num_requests_running)")],
    ),
    ("value-while-loading", [hpa(external("queue_size", 5, "Value"))], [hpa(external("queue_size", 5))]),
    ("value-while-loading", [keda(trigger={"metricType": "Value"})], [keda()]),
    ("average-twice", [hpa(external("average_queue", 5))], [hpa(external("average_queue", 5, "Value"))]),
    ("average-twice", [keda("avg(vllm:num_requests_waiting)")], [keda("sum(vllm:num_requests_waiting)")]),
    (
        "average-twice",
        [keda("avg by (model) (vllm:num_requests_waiting)")],
        [keda("avg_over_time(vllm:num_requests_waiting[1m])")],  # over time, not over pods
    ),
    # a share is never above 1: 0.95 * 1.1 = 1.045, 0.9 * 1.1 = 0.99
    ("target-out-of-reach", [hpa(pods("nv_gpu_utilization", "950m"))], [hpa(pods("nv_gpu_utilization", "900m"))]),
    ("target-out-of-reach", [hpa(pods("vllm:kv_cache_usage_perc", 80))], [hpa(pods("DCGM_FI_DEV_GPU_UTIL", "80"))]),
    (
        "target-out-of-reach",
        [keda("avg(vllm:gpu_cache_usage_perc)", {"metricType": "Value"}, {"threshold": "70"})],
        [keda("avg(vllm:gpu_cache_usage_perc) * 100", {"metricType": "Value"}, {"threshold": "70"})],
    ),
    # without a tolerance 0.95 can be exceeded
    (
        "target-out-of-reach",
        [hpa(pods("nv_gpu_utilization", "950m"))],
        [hpa(pods("nv_gpu_utilization", "950m"), **behavior(scaleUp={"tolerance": "0"}))],
    ),
    # pods may use 100 % of their request: 95 * 1.1 = 104.5; with twice the limit 200 %
    ("target-out-of-reach", [hpa(cpu(95)), deployment(**CPU)], [hpa(cpu(95)), deployment(**MORE)]),
    ("target-out-of-reach", [ray(target_ongoing_requests=8)], [ray(target_ongoing_requests=7)]),
    ("target-near-full", [hpa(pods("DCGM_FI_DEV_GPU_UTIL", "88"))], [hpa(pods("DCGM_FI_DEV_GPU_UTIL", "70"))]),
    ("target-near-full", [hpa(cpu(92))], [hpa(cpu(80))]),
    ("waiting-only", [hpa(external("queue_size", 5))], [hpa(external("requests_in_flight", 5))]),
    ("older-rules", [hpa()], [hpa(**behavior())]),
    ("older-rules", [keda()], [keda(**advanced())]),
    ("percent-only", [hpa(minReplicas=0, **behavior(scaleUp=PERCENT))], [hpa(minReplicas=0, **behavior(scaleUp=BOTH))]),
    ("percent-only", [hpa(**behavior(scaleUp=PERCENT))], [hpa(minReplicas=2, **behavior(scaleUp=PERCENT))]),
    ("percent-only", [keda(**advanced(scaleUp=PERCENT))], [keda(**advanced(scaleUp=BOTH))]),
    (
        "slow-to-add",
        [hpa(**behavior(scaleUp={"stabilizationWindowSeconds": 61}))],
        [hpa(**behavior(scaleUp={"stabilizationWindowSeconds": 60}))],
    ),
    (
        "field-without-effect",
        [hpa(**behavior(scaleDown={"selectPolicy": "Disabled", "policies": []}))],
        [hpa(**behavior(scaleDown={"selectPolicy": "Disabled"}))],
    ),
    ("field-without-effect", [hpa(behaviour={})], [hpa(**behavior())]),
    ("field-without-effect", [keda(cooldownPeriod=600)], [keda(cooldownPeriod=600, minReplicaCount=0)]),
    ("field-without-effect", [keda(pollingInterval=5)], [keda(trigger={"useCachedMetrics": True}, pollingInterval=5)]),
    (
        "field-without-effect",
        [keda(about={"activationThreshold": "3"})],
        [keda(about={"activationThreshold": "3"}, minReplicaCount=0)],
    ),
    ("straight-to-zero", [keda(cooldownPeriod=60, minReplicaCount=0)], [keda(cooldownPeriod=300, minReplicaCount=0)]),
    (
        "always-active",
        [keda(trigger={"type": "cpu", "metricType": "Utilization", "metadata": {"value": "60"}}, minReplicaCount=0)],
        [keda(trigger={"type": "cpu", "metricType": "Utilization", "metadata": {"value": "60"}})],
    ),
    (
        "delay-shorter-than-look-back",
        [keda("sum(rate(http_requests_total[5m]))", **advanced(scaleDown={"stabilizationWindowSeconds": 120}))],
        [keda("sum(rate(http_requests_total[5m]))")],  # the window is 300 s unless given
    ),
    ("delay-shorter-than-look-back", [ray(upscale_delay_s=10)], [ray(upscale_delay_s=10, look_back_period_s=10)]),
    ("two-scalers", [hpa(), keda()], [hpa()]),
    ("not-read", [hpa(maxReplicas="many")], [hpa()]),
]


def ids(values: list[tuple[str, Any, Any]]) -> list[str]:
    return [f"{number}-{one[0]}" for number, one in enumerate(values)]


@pytest.mark.parametrize(("code", "bad", "good"), ALONE, ids=ids(ALONE))
def test_what_shows_without_a_load(code: str, bad: list[Document], good: list[Document]) -> None:
    blamed = [one for one in lint(bad) if one.code == code]
    assert blamed, [one.code for one in lint(bad)]
    assert all("\n" not in one.text for one in blamed)
    assert not [one for one in lint(good) if one.code == code], lint(good)


SCENARIO = """\
schema_version: 1
title: One pool, whose replicas serve 50 requests a second each
workloads:
  users: {model: sorter, arrivals: {kind: poisson, rate: 60/s}}
models:
  sorter:
    type: traditional
    memory: 1GiB
    stages: [{pool: boxes, service: {c7a.medium: {kind: deterministic, per_request: 20ms}}}]
pools:
  boxes: {instance: c7a.medium, replicas: 2, cold_start: 60s, load_time: 60s}
run: {duration: 10m}
"""
DEADLINE = {"progress-deadline": "1h30m"}
STEPS = "workloads.users.arrivals={kind: piecewise, steps: [{rate: 20/s, duration: 5m}, {rate: 220/s, duration: 5m}]}"
COLD = "pools.boxes.cold_start=%s"
STAGE = "{name: %s, pool: boxes, service: {c7a.medium: {kind: deterministic, per_request: 20ms}}}"
TWO = [
    f"models.sorter.stages=[{STAGE % 'one'}, {STAGE % 'two'}]",
    "pools.boxes.batching={kind: triton, max_batch: 1}",
]
PROBE = {"startupProbe": {"initialDelaySeconds": 20, "periodSeconds": 10, "failureThreshold": 4}}  # 60 s
BATCHES = "pools.boxes.batching={kind: greedy, max_batch: 8}"
RATE = pods("nv_inference_request_success", 45)
START = "pools.boxes={instance: c7a.medium, replicas: 2, start: {provision: {median: 200s, p95: 500s}, %s}}"
Case = tuple[list[Document], list[str]]
AGAINST: list[tuple[str, Case, Case]] = [
    # replicas go after 300 s; a start takes 60 s more than its cold start
    ("window-shorter-than-start", ([hpa()], [COLD % "241s"]), ([hpa()], [COLD % "240s"])),
    (
        "window-shorter-than-start",
        ([keda()], [COLD % "241s"]),
        ([keda(**advanced(scaleDown={"stabilizationWindowSeconds": 301}))], [COLD % "241s"]),
    ),
    (
        "window-shorter-than-start",
        ([keda()], [COLD % "300s"]),
        ([keda("sum(rate(http_requests_total[1m]))")], [COLD % "300s"]),
    ),
    ("window-shorter-than-start", ([keda(minReplicaCount=0, cooldownPeriod=60)], []), ([keda(cooldownPeriod=60)], [])),
    (
        "window-shorter-than-start",
        ([hpa()], [COLD % "241s"]),
        ([hpa(**behavior(scaleDown={"selectPolicy": "Disabled"}))], [COLD % "241s"]),
    ),
    ("start-beyond-deadline", ([hpa()], [COLD % "541s"]), ([hpa()], [COLD % "540s"])),
    ("start-beyond-deadline", ([hpa(), deployment(deadline=100)], []), ([hpa(), deployment(deadline=120)], [])),
    # one in twenty takes three times 200 s
    (
        "start-beyond-deadline",
        ([hpa()], [COLD % "200s", "pools.boxes.cold_start_spread=exponential"]),
        ([hpa()], [COLD % "200s"]),
    ),
    (
        "start-beyond-deadline",
        ([hpa()], [COLD % "541s"]),
        ([hpa(scaleTargetRef={"kind": "StatefulSet", "name": "llm"})], [COLD % "541s"]),
    ),
    (
        "start-beyond-probe",
        ([hpa(), deployment(**PROBE)], ["pools.boxes.load_time=61s"]),
        ([hpa(), deployment(**PROBE)], []),
    ),
    (
        "start-beyond-probe",
        ([hpa(), deployment(livenessProbe={})], []),
        ([hpa(), deployment(livenessProbe={}, **PROBE)], []),
    ),
    # one machine in twenty takes 500 s: with 101 s they are 601 s
    ("start-beyond-deadline", ([hpa()], [START % "warm_up: 101s"]), ([hpa()], [START % "warm_up: 100s"])),
    # the mean of that machine is 200 s * exp(0.557^2 / 2) = 234 s
    ("window-shorter-than-start", ([hpa()], [START % "warm_up: 67s"]), ([hpa()], [START % "warm_up: 65s"])),
    # the image is there before the container starts
    (
        "start-beyond-probe",
        ([hpa(), deployment(**PROBE)], [START % "image: 1s, weights: 1s, warm_up: 60s"]),
        ([hpa(), deployment(**PROBE)], [START % "image: 99s, warm_up: 60s"]),
    ),
    # a replica serves one request at a time: 1 > 0.9 * 1.1 = 0.99
    (
        "target-out-of-reach",
        ([hpa(pods("num_requests_running", 1))], []),
        ([hpa(pods("num_requests_running", "900m"))], []),
    ),
    (
        "target-out-of-reach",
        ([hpa(pods("num_requests_running", 7.5))], [BATCHES]),
        ([hpa(pods("num_requests_running", 7))], [BATCHES]),
    ),
    (
        "target-out-of-reach",
        ([keda("sum(vllm:num_requests_running)")], []),
        ([keda("sum(vllm:num_requests_running)")], [BATCHES]),
    ),
    (
        "target-out-of-reach",
        ([hpa(pods("vllm:num_requests_waiting", 4))], ["pools.boxes.limits={queue: 4}"]),
        ([hpa(pods("vllm:num_requests_waiting", 4))], []),
    ),
    ("target-out-of-reach", ([hpa(cpu(95))], []), ([hpa(cpu(90))], [])),
    # 45.4545 * 1.1 = 50 requests a second, which is all that it serves
    (
        "target-out-of-reach",
        ([hpa(RATE | {"pods": {**RATE["pods"], "target": {"type": "AverageValue", "averageValue": 46}}})], []),
        ([hpa(RATE)], []),
    ),
    # two replicas show 2 together: 1.9 * 1.1 = 2.09, 1.8 * 1.1 = 1.98
    (
        "target-out-of-reach",
        ([hpa(external("num_requests_running", "1900m", "Value"), minReplicas=2)], []),
        ([hpa(external("num_requests_running", "1800m", "Value"), minReplicas=2)], []),
    ),
    # the mean of two replicas is 1 at most, and divided by two again
    (
        "target-out-of-reach",
        ([keda("avg(vllm:num_requests_running)", about={"threshold": "0.5"}, minReplicaCount=2)], []),
        ([keda("avg(vllm:num_requests_running)", about={"threshold": "0.5"})], []),
    ),
    (
        "target-beyond-capacity",
        ([hpa(external("requests_per_second", 46))], []),
        ([hpa(external("requests_per_second", 45))], []),
    ),
    # each stage has instances of its own: 50 requests a second, not 25
    (
        "target-beyond-capacity",
        ([hpa(external("requests_per_second", 46))], TWO),
        ([hpa(external("requests_per_second", 45))], TWO),
    ),
    ("min-below-base-load", ([hpa()], TWO), ([hpa(minReplicas=2)], TWO)),
    ("max-beyond-quota", ([hpa()], ["pools.boxes.quota=8"]), ([hpa()], ["pools.boxes.quota=9"])),
    (
        "max-beyond-quota",
        ([hpa()], ["supplies={all: {quota: 8}}", "pools.boxes.supply=all"]),
        ([hpa()], ["supplies={all: {quota: 9}}", "pools.boxes.supply=all"]),
    ),
    # 60 / 50 is more than one; 220 / 50 = 4.4
    ("min-below-base-load", ([hpa()], []), ([hpa(minReplicas=2)], [])),
    ("min-below-base-load", ([hpa()], []), ([hpa()], [STEPS])),
    ("max-below-peak", ([hpa(maxReplicas=4)], [STEPS]), ([hpa(maxReplicas=5)], [STEPS])),
    ("max-below-peak", ([hpa()], [STEPS, "pools.boxes.quota=4"]), ([hpa()], ["pools.boxes.quota=4"])),
]


def against(file: Path, documents: list[Document], changes: list[str]) -> list[str]:
    loaded = load(file, changes)
    bound = bind(documents)
    subject = place(loaded, "boxes", bound.autoscaler, bound.source)
    found = lint_against(Looked(subject.loaded.case(), subject.number, documents[0], documents))
    assert all("\n" not in one.text for one in found)
    return [one.code for one in found]


@pytest.mark.parametrize(("code", "bad", "good"), AGAINST, ids=ids(AGAINST))
def test_what_shows_on_the_pool_of_a_scenario(tmp_path: Path, code: str, bad: Case, good: Case) -> None:
    file = tmp_path / "step.yaml"
    file.write_text(SCENARIO)
    assert code in against(file, *bad)
    assert code not in against(file, *good)


def test_a_revision_of_knative_that_starts_too_slowly_has_failed(tmp_path: Path) -> None:
    file = tmp_path / "step.yaml"
    file.write_text(SCENARIO)

    def codes(cold: int, **notes: str) -> list[str]:
        note = {f"serving.knative.dev/{name.replace('_', '-')}": value for name, value in notes.items()}
        document = named("KnativeService", {"template": {"metadata": {"annotations": note}}})
        found = lint_against(Looked(load(file, [COLD % f"{cold}s"]).case(), 0, document, [document]))
        return [one.code for one in found if one.level == "error"]

    assert codes(541) == ["start-beyond-deadline"]
    assert codes(540) == codes(541, progress_deadline="20m") == []
    assert codes(541, progress_deadline="soon") == ["start-beyond-deadline"]


def test_a_deadline_of_the_cluster_holds_for_revisions_of_knative(tmp_path: Path) -> None:
    file = tmp_path / "step.yaml"
    file.write_text(SCENARIO)
    service = named("KnativeService", {"template": {"metadata": {"annotations": {}}}})
    config = Document("ConfigMap", "config-deployment", "knative-serving", "m.yaml", {"data": DEADLINE})
    changes = [COLD % "541s", "pools.boxes.balancer=central_queue"]
    assert "start-beyond-deadline" in against(file, [service], changes)
    assert "start-beyond-deadline" not in against(file, [service, config], changes)


@pytest.mark.parametrize(
    "query", ["sum(a) / %s" % ("9" * 400), "sum(rate(a[9999999999999h]))", "sum(a) * 0.%s1" % ("0" * 400)]
)
def test_numbers_beyond_any_are_looked_over(query: str) -> None:
    assert "not-read" not in [one.code for one in lint([keda(query)])]
    with pytest.raises(InputError, match="trigger prometheus"):
        bind([keda(query)])


def test_closed_loops_take_as_many_replicas_as_there_are(tmp_path: Path) -> None:
    file = tmp_path / "step.yaml"
    file.write_text(SCENARIO)
    closed = "workloads.users.arrivals={kind: closed, users: 500}"
    assert not {"min-below-base-load", "max-below-peak"} & set(against(file, [hpa()], [closed]))


def test_the_command_holds_a_manifest_against_a_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "step.yaml").write_text(SCENARIO)
    (tmp_path / "hpa.json").write_text(json.dumps(hpa(external("mine", 60)).data))
    words = ["autoscaler", "lint", "-f", str(tmp_path / "hpa.json")]

    def codes(*more: str) -> tuple[int | str | None, list[str]]:
        with pytest.raises(SystemExit) as ended:
            main([*words, *more, "--format", "json"])
        out = capsys.readouterr().out
        return ended.value.code, [one["code"] for one in json.loads(out)["findings"]] if out else []

    assert codes() == (0, ["older-rules"])
    assert codes(str(tmp_path / "step.yaml"), "--bind", "mine=arrival_rate") == (
        3, ["target-beyond-capacity", "older-rules", "min-below-base-load"]
    )  # fmt: skip
    assert codes(str(tmp_path / "step.yaml")) == (2, [])


def test_every_rule_is_in_the_docs() -> None:
    root = Path(__file__).parents[1]
    table = (root / "docs" / "manifests.md").read_text().partition("| rule | what it finds |")[2]
    told = {code for row in re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE) for code in re.findall("`(.+?)`", row)}
    modules = [path.read_text() for path in (root / "scenarios" / "manifests").glob("*rules*.py")]
    others = {code for text in modules for code in re.findall(r'"(?:error|warning|note)",\s*"([a-z]+-[a-z-]+)"', text)}
    assert told == {one[0] for one in [*ALONE, *AGAINST]} | others
