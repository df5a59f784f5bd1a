"""Manifests as they are deployed: read, bound to signals, looked over, and refused in one line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from scenarios.load import load
from scenarios.manifests import CONVERTERS, Document, bind, lint, read
from scenarios.manifests.binding import ALIASES, SIGNALS, parse_binding, read_name, read_query
from scenarios.yamlfile import format_yaml
from simulator.autoscaling import Hpa, Keda, Metric
from simulator.autoscaling.keda import Fallback
from simulator.errors import InputError
from simulator.quantities import SECOND

HERE = Path(__file__).parent / "manifests"
FILES = sorted(path for path in HERE.iterdir() if path.suffix != ".md")
WRONG = InputError("here", file="f.yaml")


def manifest(**spec: Any) -> dict[str, Any]:
    """An HPA that scales on requests in service, with some fields of its own."""
    metric = {"metric": {"name": "vllm:num_requests_running"}, "target": {"type": "AverageValue", "averageValue": "8"}}
    base = {"scaleTargetRef": {"kind": "Deployment", "name": "llm"}, "minReplicas": 1, "maxReplicas": 10}
    base |= {"metrics": [{"type": "Pods", "pods": metric}]}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "llm"},
        "spec": base | spec,
    }


def document(data: dict[str, Any]) -> Document:
    name = data.get("metadata", {}).get("name", "unnamed")
    return Document(data["kind"], name, "default", "hpa.yaml", data)


def hpa(data: dict[str, Any], **bindings: str) -> Hpa:
    found = bind([document(data)], bindings).autoscaler
    assert isinstance(found, Hpa)
    return found


def refusal(data: dict[str, Any], **bindings: str) -> str:
    with pytest.raises(InputError) as caught:
        bind([document(data)], bindings)
    return str(caught.value)


def test_the_spec_becomes_the_autoscaler_field_by_field() -> None:
    found = bind(read([HERE / "dcgm-hpa.yaml"]))
    made = found.autoscaler
    assert isinstance(made, Hpa)
    assert found.source == "HorizontalPodAutoscaler search/embedder"
    assert (made.min_replicas, made.max_replicas) == (2, 12)
    (metric,) = made.metrics
    assert (metric.source, metric.name, metric.average_value) == ("pods", "DCGM_FI_DEV_GPU_UTIL", 70_000)
    assert (metric.reads.signal, metric.reads.scale) == ("utilisation", 100)
    assert made.behavior is not None
    assert made.behavior.scale_up is not None
    assert made.behavior.scale_down is not None
    assert made.behavior.scale_up.window == 30 * SECOND
    assert made.behavior.scale_down.select == "Min"
    (policy,) = made.behavior.scale_down.policies or ()
    assert (policy.type, policy.value, policy.period) == ("Percent", 10, 60 * SECOND)


def test_what_kubectl_prints_is_unfolded_and_the_deployment_tells_the_request() -> None:
    """1500m and 500m are requested; a busy replica is taken to use these two cores."""
    found = bind(read([HERE / "kubectl-list.yaml"]))
    assert isinstance(found.autoscaler, Hpa)
    (metric,) = found.autoscaler.metrics
    assert (metric.utilization, metric.request, metric.reads.scale) == (60, 2000, 2.0)
    assert not any("has no effect" in remark for remark in found.remarks)


def test_quantities_are_read_as_kubernetes_reads_them() -> None:
    found = bind(read([HERE / "object-value.json"])).autoscaler
    assert isinstance(found, Hpa)
    assert found.metrics[0].value == 2_000_000
    assert found.metrics[0].reads.signal == "arrival_rate"


def test_version_1_has_a_target_for_cpu() -> None:
    found = bind(read([HERE / "v1.yaml"]))
    assert isinstance(found.autoscaler, Hpa)
    assert (found.autoscaler.metrics[0].utilization, found.autoscaler.min_replicas) == (75, 1)
    assert "the pods' request of cpu is in no Deployment of these manifests: 1 core is assumed" in found.remarks


def test_a_folder_and_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len({one.file for one in read([HERE])}) == len(FILES)
    monkeypatch.setattr("sys.stdin", io.StringIO((HERE / "helm-output.yaml").read_text()))
    assert [one.kind for one in read(["-"])] == ["Service", "HorizontalPodAutoscaler"]


def test_fields_without_effect_are_told() -> None:
    found = bind([document(manifest(behaviour={}, paused=True))])
    assert "spec.behaviour has no effect here; did you mean behavior?" in found.remarks
    assert "spec.paused has no effect here" in found.remarks


def test_a_binding_says_what_a_metric_is() -> None:
    data = manifest()
    data["spec"]["metrics"][0]["pods"]["metric"]["name"] = "my_own"
    assert refusal(data) == (
        "hpa.yaml: HorizontalPodAutoscaler default/llm: spec.metrics[0]: metric my_own: 'my_own' is not a metric known "
        "by name; bind it with --bind my_own=SIGNAL, such as --bind my_own=queue or "
        "'my_own=utilisation*100 over 1m mean'; --bind my_own=none leaves it out"
    )
    reads = hpa(data, my_own="concurrency*2 over 1m every 5s delay 10s mean").metrics[0].reads
    wanted = {"signal": "concurrency", "scale": 2, "over": "mean", "window": "1m", "scrape": "5s", "delay": "10s"}
    assert reads == Metric.model_validate(wanted)


def test_what_is_known_of_the_pool_is_asked_of_replicas_where_each_has_a_value() -> None:
    assert hpa(manifest(), **{"vllm:num_requests_running": "queue"}).metrics[0].reads.signal == "waiting"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "--bind m: names no signal"),
        ("que", "'que' is not a signal; did you mean 'queue'?"),
        ("queue*x", "'x' is not a number"),
        ("queue*0", "scale: 0.0: input should be greater than 0"),
        ("queue over", "window: '' is not a duration"),
        ("queue men", "'men' is not understood; did you mean 'mean'?"),
        ("queue every 0s", "scrape"),
    ],
)
def test_bindings_that_say_nothing(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_binding("m", text)
    assert said in str(caught.value)


def test_a_binding_of_no_metric_is_refused() -> None:
    assert "--bind other: 'other' is not a metric of HorizontalPodAutoscaler default/llm" in refusal(
        manifest(), other="queue"
    )


@pytest.mark.parametrize(
    ("query", "signal", "over", "scale", "window"),
    [
        ("sum(vllm:num_requests_waiting)", "waiting", "sum", 1, 0),
        ('sum(vllm:num_requests_waiting{model_name="m"}) or vector(0)', "waiting", "sum", 1, 0),
        ("avg(DCGM_FI_DEV_GPU_UTIL)", "utilisation", "mean", 100, 0),
        ("sum by (model) (vllm:num_requests_running)", "running", "sum", 1, 0),
        ("sum(rate(http_requests_total{code=~'2..'}[2m]))", "arrival_rate", "sum", 1, 120 * SECOND),
        ("sum(rate(http_requests_total[1m])) * 60", "arrival_rate", "sum", 60, 60 * SECOND),
        ("max(nv_gpu_utilization)", "utilisation", "max", 1, 0),
        ("avg(vllm:kv_cache_usage_perc)", "kv_cache", "mean", 1, 0),
        ("avg(inference_pool_average_kv_cache_utilization)", "kv_cache", "mean", 1, 0),
        ("sum(vllm:num_requests_waiting{a='+'}) + sum(vllm:num_requests_running)", "concurrency", "sum", 1, 0),
        ("avg(sglang:num_running_reqs + sglang:num_queue_reqs)", "concurrency", "mean", 1, 0),
        ("sum(inference_extension_flow_control_queue_size)", "queue", "sum", 1, 0),
        ('inference_pool_average_queue_size{name="p"}', "waiting", "mean", 1, 0),
        ("sum(inference_objective_running_requests)", "outstanding", "sum", 1, 0),
    ],
)
def test_queries_that_are_understood(query: str, signal: str, over: str, scale: float, window: int) -> None:
    found = read_query("q", query, {}, WRONG).metric
    assert (found.signal, found.over, found.scale, found.window) == (signal, over, scale, window)


@pytest.mark.parametrize(
    "query",
    [
        "histogram_quantile(0.95, sum(rate(vllm:time_to_first_token_seconds_bucket[5m])) by (le))",
        "sum(a) / sum(b)",
        "sum(vllm:num_requests_waiting) + avg(vllm:num_requests_running)",
        "sum(vllm:num_requests_waiting) + sum(vllm:num_requests_waiting)",
        "sum(vllm:num_tokens_waiting)",
        "inference_extension_flow_control_pool_saturation",
        "rate(request_latency_ms_sum[1m]) / rate(other_latency_ms_count[1m])",
        "histogram_quantile(0.95, sum by (le) (rate(request_queue_duration_seconds_bucket[5m])))",
        "histogram_quantile(0.95, sum by (le) (rate(http_request_size_bytes_bucket[5m])))",
        "increase(http_requests_total[5m])",
        "sum(http_requests_total) * 0",
        "",
    ],
)
def test_other_queries_are_refused_and_may_be_bound(query: str) -> None:
    with pytest.raises(InputError, match=r"f.yaml: here: .*bind it with --bind q=SIGNAL"):
        read_query("q", query, {}, WRONG)
    assert read_query("q", query, {"q": "queue"}, WRONG).metric.signal == "queue"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("inference_pool_saturation", "has no signal here yet; bind it with --bind inference_pool_saturation=SIGNAL"),
        ("llm_d_epp_flow_control_pool_saturation", "has no signal here yet"),
        ("token_backlog", "tokens are requests times their mean: --bind token_backlog=queue*500"),
        ("p99_time_to_first_token", "has no signal here yet"),
    ],
)
def test_what_has_no_signal_yet_says_how_to_bind_it(name: str, said: str) -> None:
    data = manifest()
    data["spec"]["metrics"][0]["pods"]["metric"]["name"] = name
    assert said in refusal(data)
    assert f"--bind {name}=none leaves it out" in refusal(data)
    assert hpa(data, **{name: "utilisation"}).metrics[0].reads.signal == "utilisation"


def test_an_average_of_the_endpoint_picker_is_read_as_one() -> None:
    target = {"type": "Value", "value": "2"}
    metric = {"metric": {"name": "inference_pool_average_queue_size"}, "target": target}
    found = bind([document(manifest(metrics=[{"type": "External", "external": metric}]))])
    assert isinstance(found.autoscaler, Hpa)
    assert (found.autoscaler.metrics[0].reads.signal, found.autoscaler.metrics[0].reads.over) == ("waiting", "mean")
    assert "is taken for the signal waiting (mean), read every 15s" in found.remarks[0]


def test_a_metric_may_be_left_out() -> None:
    data = manifest()
    known = data["spec"]["metrics"][0]
    data["spec"]["metrics"] = [known, json.loads(json.dumps(known).replace("vllm:num_requests_running", "my_own"))]
    found = bind([document(data)], {"my_own": "none"})
    assert list(found.autoscaler.reads()) == ["vllm:num_requests_running"]
    assert "spec.metrics[1], my_own, is left out, as --bind says: nothing follows it here" in found.remarks
    assert "'other' is not a metric of" in refusal(data, my_own="none", other="none")
    data["spec"]["metrics"] = [known]
    assert "spec.metrics: all of them are left out" in refusal(data, **{"vllm:num_requests_running": "none"})
    spec = {"triggers": [{"type": "cron", "metadata": {"start": "0 8 * * *"}}]}
    scaled = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "s"}, "spec": spec}
    assert "triggers" in refusal(scaled, cron="none")


def test_a_container_with_a_limit_alone_requests_as_much() -> None:
    """2 of the limit and 500m that are requested: 2.5 cores, of which 70 % are the target."""
    one = {"name": "a", "resources": {"limits": {"cpu": "2"}}}
    other = {"name": "b", "resources": {"limits": {"cpu": "4"}, "requests": {"cpu": "500m"}}}
    pod = {"spec": {"template": {"spec": {"containers": [one, other]}}}}
    deployment = {"kind": "Deployment", "metadata": {"name": "llm"}} | pod
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
    found = bind([document(manifest(metrics=[cpu])), document(deployment)]).autoscaler
    assert isinstance(found, Hpa)
    assert found.metrics[0].request == 2500


@pytest.mark.parametrize(
    ("query", "quantile", "scale", "window"),
    [
        ("histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[2m])))", 0.95, 1, 120),
        (
            "histogram_quantile(0.99, sum(rate(vllm:e2e_request_latency_seconds_bucket{a='b'}[1m])) by (le))",
            0.99,
            1,
            60,
        ),
        ("histogram_quantile(.5, rate(tgi_request_duration_bucket[5m])) * 1000", 0.5, 1000, 300),
        ("histogram_quantile(0.9, sum by (le) (rate(istio_request_duration_milliseconds_bucket[1m])))", 0.9, 1000, 60),
        (
            "sum(rate(http_server_requests_seconds_sum[1m])) / sum(rate(http_server_requests_seconds_count[1m]))",
            None,
            1,
            60,
        ),
        ("rate(request_latency_ms_sum[30s]) / rate(request_latency_ms_count[30s]) / 1000", None, 1, 30),
    ],
)
def test_queries_for_latency(query: str, quantile: float | None, scale: float, window: int) -> None:
    found = read_query("q", query, {}, WRONG)
    metric = found.metric
    assert (metric.signal, metric.quantile, metric.scale, metric.window) == (
        "latency",
        quantile,
        scale,
        window * SECOND,
    )
    assert "is taken for the signal latency" in found.remarks[0]


def test_latency_is_bound_and_is_of_the_pool() -> None:
    metric = parse_binding("slow", "latency*1000 p99.5 over 2m")
    assert (metric.signal, metric.quantile, metric.scale, metric.window) == ("latency", 0.995, 1000, 120 * SECOND)
    with pytest.raises(InputError, match="here: latency is known of the pool, not of each replica"):
        read_name("slow", {"slow": "latency"}, True, WRONG)
    with pytest.raises(InputError, match="quantile: is of latency; queue has none"):
        parse_binding("slow", "queue p95")


def test_aliases_are_signals() -> None:
    assert {signal for signal, _ in ALIASES.values()} <= set(SIGNALS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"maxReplicas": None}, "spec.maxReplicas: is required"),
        ({"maxReplicas": "many"}, "spec.maxReplicas: 'many' is not a whole number"),
        ({"metrics": {}}, "spec.metrics: {} is not a list"),
        ({"metrics": [{"type": "Pod"}]}, "spec.metrics[0].type: 'Pod' is not a type of metric; did you mean 'Pods'?"),
        ({"metrics": [{"type": "Pods"}]}, "spec.metrics[0].pods: is required with type Pods"),
        ({"metrics": ["cpu"]}, "spec.metrics[0]: 'cpu' is not a mapping"),
        ({"behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 9999}]}}}, "30m"),
        ({"maxReplicas": 0}, "max_replicas"),
    ],
)
def test_mistakes_are_told_in_one_line(change: dict[str, Any], said: str) -> None:
    found = refusal(manifest(**change))
    assert found.startswith("hpa.yaml: HorizontalPodAutoscaler default/llm")
    assert said in found
    assert "\n" not in found


def test_a_scaled_object_becomes_keda_field_by_field() -> None:
    found = bind(read([HERE / "keda-full.yaml"]))
    made = found.autoscaler
    assert isinstance(made, Keda)
    assert (made.idle_replicas, made.min_replicas, made.max_replicas, made.paused_scale_in) == (0, 2, 30, True)
    assert made.fallback == Fallback(failure_threshold=3, replicas=6, behavior="currentReplicasIfHigher")
    jobs, cpu = made.triggers
    assert (jobs.name, jobs.threshold, jobs.activation, jobs.cached) == ("jobs", 20_000, 2_000, True)
    assert (jobs.reads.signal, cpu.target_type, cpu.threshold) == ("queue", "Utilization", 70_000)
    assert "spec.triggers[0].metadata.awsRegion has no effect here" in found.remarks


def test_the_query_of_a_trigger_tells_the_signal() -> None:
    found = bind(read([HERE / "vllm-keda.yaml"])).autoscaler
    assert isinstance(found, Keda)
    assert (found.polling_interval, found.cooldown) == (15 * SECOND, 360 * SECOND)
    assert (found.triggers[0].reads.signal, found.triggers[0].reads.over) == ("waiting", "sum")


def test_other_triggers_are_refused_or_bound() -> None:
    spec = {"triggers": [{"type": "cron", "metadata": {"start": "0 8 * * *"}}]}
    data = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "s"}, "spec": spec}
    assert "trigger cron: follows the clock, and no load; --bind cron=none leaves it out" in refusal(data)
    spec["triggers"] = [{"type": "openstack-metric", "metadata": {"threshold": "5"}}]
    assert "triggers of type 'openstack-metric' are not known here; bind it with --bind openstack-" in refusal(data)
    spec["triggers"] = [{"type": "metrics-api", "metadata": {"targetValue": "5"}}]
    bound = bind([document(data)], {"metrics-api": "outstanding"}).autoscaler
    assert isinstance(bound, Keda)
    assert bound.triggers[0].reads.signal == "outstanding"


@pytest.mark.parametrize(
    ("change", "level", "path"),
    [
        ({"minReplicaCount": 1, "cooldownPeriod": 60}, "warning", "spec.cooldownPeriod"),
        ({"cooldownPeriod": 60}, "note", "spec.cooldownPeriod"),
        ({}, "error", "spec.triggers[0]"),
        ({"minReplicaCount": 100}, "warning", "spec.maxReplicaCount"),
    ],
)
def test_what_lint_finds_in_a_scaled_object(change: dict[str, Any], level: str, path: str) -> None:
    query = {"query": "sum(vllm:num_requests_waiting)", "threshold": "5"}
    spec = {"triggers": [{"type": "prometheus", "metadata": query}]} | change
    found = lint([document({"kind": "ScaledObject", "metadata": {"name": "s"}, "spec": spec})])
    assert any(one.level == level and one.path == path for one in found), found


def test_what_holds_no_autoscaler_or_several(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"holds no autoscaler, but Service; read are {next(iter(CONVERTERS))}"):
        bind([document({"kind": "Service", "metadata": {"name": "s"}})])
    two = [document(manifest()), document(manifest() | {"metadata": {"name": "other"}})]
    with pytest.raises(InputError, match="holds several autoscalers"):
        bind(two)
    assert bind(two, name="other").source.endswith("/other")
    with pytest.raises(InputError, match="'othr' is not an autoscaler in it; did you mean 'other'"):
        bind(two, name="othr")
    with pytest.raises(InputError, match="no such file"):
        read([tmp_path / "none.yaml"])
    with pytest.raises(InputError, match="no manifest is in it"):
        read([tmp_path])


def test_a_scenario_names_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "hpa.yaml").write_text(format_yaml(manifest(minReplicas=1)))
    chosen = "pools.gpus.autoscaler={kind: manifest, file: %s}" % (tmp_path / "hpa.yaml")
    loaded = load("evening-rush", [chosen])
    case = loaded.case()
    assert isinstance(case.pools[0].autoscaler, Hpa)
    assert any("is taken for the signal running" in remark for remark in loaded.files.remarks)
    (tmp_path / "hpa.yaml").write_text(format_yaml(manifest(minReplicas=2)))
    with pytest.raises(
        InputError, match=r"pools.gpus.replicas: 1 is outside the autoscaler's bounds; begin with 2 to 10"
    ):
        load("evening-rush", [chosen]).case()
    (tmp_path / "hpa.yaml").write_text("kind: [")
    with pytest.raises(InputError, match=r"pools.gpus.autoscaler: .*hpa.yaml"):
        load("evening-rush", [chosen]).case()


def test_an_outage_names_the_metrics_of_a_manifest() -> None:
    fault = "pools.gpus.faults=[{kind: metrics_outage, at: 5m, lasts: 1m, metrics: [%s]}]"
    assert load("slow-gpu-start", [fault % "requests_in_flight"]).case().pools[0].faults
    with pytest.raises(InputError, match=r"pools.gpus: faults: 'request' is not a metric .* 'requests_in_flight'"):
        load("slow-gpu-start", [fault % "request"]).case()


@pytest.mark.parametrize(
    ("change", "level", "path"),
    [
        ({"maxReplicas": 1}, "warning", "spec.maxReplicas"),
        ({"minReplicas": 0}, "error", "spec.minReplicas"),
        ({"behavior": {"scaleUp": {"policies": [{"type": "Percent", "value": 50}]}}}, "warning", "policies"),
        ({"behavior": {"scaleUp": {"stabilizationWindowSeconds": 120}}}, "warning", "stabilizationWindowSeconds"),
        ({"behavior": {"scaleDown": {"selectPolicy": "Disabled", "policies": []}}}, "warning", "scaleDown"),
        ({}, "note", "spec.behavior"),
    ],
)
def test_what_lint_finds(change: dict[str, Any], level: str, path: str) -> None:
    found = lint([document(manifest(**change))])
    assert any(one.level == level and one.path.endswith(path) for one in found), found


def test_lint_answers_whatever_a_field_holds() -> None:
    odd = manifest(minReplicas=0, metrics=[{"type": ["Pods"]}, {"type": {}}])
    assert any(one.path == "spec.minReplicas" and one.level == "error" for one in lint([document(odd)]))


@pytest.mark.parametrize("value", ["1e999999", "-1e9999999", "9E", "1e19", "abc", "", "1 Gi", "1.2.3", "5K", "٣"])
def test_what_is_no_quantity_is_told(value: str) -> None:
    data = manifest()
    data["spec"]["metrics"][0]["pods"]["target"]["averageValue"] = value
    assert "spec.metrics[0].pods.target.averageValue" in refusal(data)


def test_lint_looks_at_metrics_and_at_all_documents_together() -> None:
    targets = ({"type": "Value", "value": 5}, {"type": "AverageValue", "averageValue": 5})
    both = [{"type": "External", "external": {"metric": {"name": "average_queue"}, "target": one}} for one in targets]
    texts = [one.text for one in lint([document(manifest(metrics=both))])]
    assert sum("while new ones load it asks for fewer" in text for text in texts) == 1
    assert sum("is an average already" in text for text in texts) == 1
    two = [document(manifest()), document(manifest() | {"metadata": {"name": "other"}})]
    assert "error" in {one.level for one in lint(two) if one.path == "spec.scaleTargetRef"}
