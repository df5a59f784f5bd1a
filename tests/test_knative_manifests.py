"""Services of Knative and InferenceServices of KServe, as they are deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scenarios.manifests import Bound, Document, bind, lint, read
from simulator.autoscaling import Hpa, Keda, Knative
from simulator.errors import InputError
from simulator.quantities import SECOND

HERE = Path(__file__).parent / "manifests"
NOTE = "autoscaling.knative.dev/"
MODE, CLASS = "serving.kserve.io/deploymentMode", "serving.kserve.io/autoscalerClass"


def document(kind: str, data: dict[str, Any], name: str = "llm") -> Document:
    return Document(kind, name, "default", "k.yaml", {"metadata": {"name": name}} | data)


def service(pod: dict[str, Any] | None = None, **notes: Any) -> Document:
    """A Service of Knative; `notes` are annotations, with _ for -."""
    written = {NOTE + name.replace("_", "-"): value for name, value in notes.items()}
    spec = {"template": {"metadata": {"annotations": written}, "spec": pod or {}}}
    return document("KnativeService", {"spec": spec})


def inference(predictor: dict[str, Any], **notes: str) -> Document:
    """An InferenceService; `notes` are the mode, the class and annotations of Knative."""
    names = {"mode": MODE, "autoscaler": CLASS}
    written = {names.get(name, NOTE + name.replace("_", "-")): value for name, value in notes.items()}
    return document("InferenceService", {"metadata": {"annotations": written}, "spec": {"predictor": predictor}})


def config(name: str, **data: str) -> Document:
    return document("ConfigMap", {"data": {key.replace("_", "-"): value for key, value in data.items()}}, name)


def knative(*documents: Document) -> Knative:
    found = bind(documents).autoscaler
    assert isinstance(found, Knative)
    return found


def refusal(*documents: Document, **bindings: str) -> str:
    with pytest.raises(InputError) as caught:
        bind(documents, bindings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_service_becomes_the_autoscaler_field_by_field() -> None:
    found = bind(read([HERE / "knative-full.yaml"]))
    made = found.autoscaler
    assert isinstance(made, Knative)
    assert found.source == "KnativeService chat/llm"
    assert (made.min_replicas, made.max_replicas, made.container_concurrency) == (1, 12, 8)
    assert (made.window, made.scale_to_zero_pod_retention_period) == (90 * SECOND, 300 * SECOND)
    assert (made.target_utilization_percentage, made.target_burst_capacity) == (80, -1)
    assert made.controller.max_scale_down_rate == 4
    assert made.controller.scale_to_zero_grace_period == 45 * SECOND
    assert made.controller.progress_deadline == 1800 * SECOND
    told = "\n".join(found.remarks)
    assert "config-autoscaler: data.tag-header-based-routing has no effect here" in told
    assert "max-scale has no effect on the Service; move it below spec.template.metadata.annotations" in told
    assert "did you mean autoscaling.knative.dev/panic-threshold-percentage?" in told
    assert "_example" not in told
    assert "prometheus.io" not in told


@pytest.mark.parametrize(("written", "percent"), [("85", 85), ("1.01", 1.01), ("1", 100), ("0.7", 70), ("1.0", 100)])
def test_the_percentage_of_the_cluster_may_be_a_fraction(written: str, percent: float) -> None:
    cluster = config("config-autoscaler", container_concurrency_target_percentage=written)
    assert knative(service(), cluster).target_utilization_percentage == pytest.approx(percent)
    # It is that of requests in flight, and annotations come first.
    assert knative(service(metric="rps"), cluster).target_utilization_percentage == 70
    assert knative(service(target_utilization_percentage="60"), cluster).target_utilization_percentage == 60


def test_what_annotations_say_comes_before_the_cluster() -> None:
    cluster = config("config-autoscaler", max_scale="9", initial_scale="2", scale_down_delay="1m", stable_window="2m")
    made = knative(service(max_scale="0", scale_down_delay="0s"), cluster)
    assert (made.max_replicas, made.initial_scale, made.scale_down_delay, made.window) == (
        None,
        2,
        0,
        120 * SECOND,
    )
    assert knative(service(), cluster).max_replicas == 9
    usual = config("config-defaults", container_concurrency="5")
    assert knative(service(), usual).container_concurrency == 5
    assert knative(service({"containerConcurrency": 0}), usual).container_concurrency == 0


def test_annotations_may_be_written_as_they_once_were() -> None:
    made = knative(service(minScale="2", targetBurstCapacity="0", scaleToZeroPodRetentionPeriod="1h"))
    assert (made.min_replicas, made.target_burst_capacity) == (2, 0)
    assert made.scale_to_zero_pod_retention_period == 3600 * SECOND


@pytest.mark.parametrize(
    ("notes", "fields"),
    [
        ({"initial_scale": "0"}, {"initial_scale": 1}),
        ({"activation_scale": "3"}, {"activation_scale": 3}),
        ({"metric": "rps", "target": "12.5"}, {"metric": "rps", "target": 12.5}),
        ({"panic_window_percentage": "20.0"}, {"panic_window_percentage": 20}),
        ({"panic_threshold_percentage": "150"}, {"panic_threshold_percentage": 150}),
        (
            {"metric_aggregation_algorithm": "weightedExponential"},
            {"metric_aggregation_algorithm": "weightedExponential"},
        ),
        ({"class": "kpa.autoscaling.knative.dev", "min_scale": 2}, {"min_replicas": 2}),
        ({"window": "1h"}, {"window": 3600 * SECOND}),
        ({"window": "1.5m"}, {"window": 90 * SECOND}),
    ],
)
def test_annotations(notes: dict[str, Any], fields: dict[str, Any]) -> None:
    made = knative(service(**notes))
    assert {name: getattr(made, name) for name in fields} == fields


def test_the_class_hpa_becomes_the_hpa_that_knative_makes() -> None:
    pod = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]}
    found = bind([service(pod, **{"class": "hpa.autoscaling.knative.dev"}, metric="cpu", target="55", max_scale="4")])
    made = found.autoscaler
    assert isinstance(made, Hpa)
    assert (made.min_replicas, made.max_replicas) == (1, 4)
    assert (made.metrics[0].utilization, made.metrics[0].request) == (55, 2000)
    assert any("an HPA scales it, never to zero" in remark for remark in found.remarks)
    usual = config("config-autoscaler", pod_autoscaler_class="hpa.autoscaling.knative.dev")
    assert isinstance(bind([service(), usual]).autoscaler, Hpa)


@pytest.mark.parametrize(
    ("documents", "wrong"),
    [
        ([service(window="5s")], "window 5s is outside of what Knative takes"),
        ([service(window="90")], "window: '90' is not a duration; write it such as 90s or 1m30s"),
        ([service(window="1d")], "window: '1d' is not a duration"),
        ([service(target="many")], "target: 'many' is not a number"),
        ([service(target="nan")], "target: 'nan' is not a number"),
        ([service(min_scale="1.5")], "min-scale: '1.5' is not a whole number"),
        ([service(metric="cpu")], "metric: 'cpu' is no metric of the class kpa.autoscaling.knative.dev"),
        (
            [service({}, **{"class": "kpa"})],
            "'kpa' is not a class of autoscaler; known: hpa.autoscaling",
        ),
        ([service({"containerConcurrency": -1})], "container_concurrency"),
        (
            [service(), config("config-autoscaler", max_scale_up_rate="x")],
            "ConfigMap default/config-autoscaler: data.max",
        ),
        ([service(), config("config-autoscaler", stable_window="1s")], "window 1s is outside"),
        ([inference({}, mode="Modelmesh")], f"{MODE}: 'Modelmesh' is not read"),
        ([inference({}, mode="Standard", autoscaler="vpa")], f"{CLASS}: 'vpa' is not a class of autoscaler"),
        ([inference({}, mode="Standard", autoscaler="external")], "give the HorizontalPodAutoscaler or ScaledObject"),
        (
            [inference({"scaleMetric": "rps"}, mode="Standard")],
            "spec.predictor.scaleMetric: 'rps' needs Knative or KEDA",
        ),
        ([inference({"scaleMetric": "cpu"})], "'cpu' is no metric of the class"),
        ([inference({"minReplicas": "few"})], "spec.predictor.minReplicas: 'few' is not a whole number"),
    ],
)
def test_mistakes_are_told_in_one_line(documents: list[Document], wrong: str) -> None:
    assert wrong in refusal(*documents)


def test_no_metric_of_knative_is_bound() -> None:
    assert "--bind concurrency: KnativeService default/llm counts requests itself" in refusal(
        service(), concurrency="queue"
    )


def test_kserve_writes_the_annotations_of_knative() -> None:
    made = bind(read([HERE / "kserve-serverless.yaml"])).autoscaler
    assert isinstance(made, Knative)
    assert (made.min_replicas, made.max_replicas, made.target, made.container_concurrency) == (0, 8, 16, 32)
    assert made.scale_down_delay == 120 * SECOND
    # One replica is the default of KServe; that of Knative is none.
    assert knative(inference({})).min_replicas == 1
    assert knative(inference({"annotations": {f"{NOTE}window": "30s"}})).window == 30 * SECOND
    told = bind([inference({"autoScaling": {}, "minReplicas": 2})]).remarks
    assert "spec.predictor.autoScaling has no effect with Knative, only in raw mode" in told
    assert any("Serverless is assumed" in remark for remark in told)


def raw(predictor: dict[str, Any], **notes: str) -> Bound:
    return bind([inference(predictor, mode="RawDeployment", **notes)])


def test_in_raw_mode_it_is_the_hpa_that_kserve_makes() -> None:
    found = raw({"minReplicas": 0, "containerConcurrency": 4, "model": {"resources": {"requests": {"cpu": "4"}}}})
    made = found.autoscaler
    assert isinstance(made, Hpa)
    # No fewer than one, no most below the fewest; cpu at 80 % of what the model requests.
    assert (made.min_replicas, made.max_replicas) == (1, 1)
    assert (made.metrics[0].name, made.metrics[0].utilization, made.metrics[0].request) == ("cpu", 80, 4000)
    assert "spec.predictor.containerConcurrency has no effect without Knative" in found.remarks
    target = {"type": "Utilization", "averageUtilization": 50}
    scaling = {
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}},
        "speed": 3,
    }
    found = raw({"minReplicas": 2, "maxReplicas": 6, "autoScaling": scaling})
    made = found.autoscaler
    assert isinstance(made, Hpa)
    assert (made.min_replicas, made.max_replicas, made.metrics[0].utilization) == (2, 6, 50)
    assert made.behavior is not None
    assert made.behavior.scale_down is not None
    assert made.behavior.scale_down.window == 60 * SECOND
    assert "spec.predictor.autoScaling.speed has no effect here" in found.remarks


def test_in_raw_mode_it_may_be_the_scaled_object_that_kserve_makes() -> None:
    made = bind(read([HERE / "kserve-raw-keda.yaml"])).autoscaler
    assert isinstance(made, Keda)
    assert (made.min_replicas, made.max_replicas, made.polling_interval) == (1, 5, 10 * SECOND)
    (trigger,) = made.triggers
    assert (trigger.reads.signal, trigger.threshold, trigger.target_type) == ("running", 2000, "AverageValue")
    made = raw({"scaleMetric": "cpu", "scaleTarget": 60, "maxReplicas": 4}, autoscaler="keda").autoscaler
    assert isinstance(made, Keda)
    assert (made.triggers[0].type, made.triggers[0].threshold) == ("cpu", 60_000)


def test_an_autoscaler_beside_an_inference_service_is_the_one() -> None:
    spec = {"maxReplicas": 7, "scaleTargetRef": {"kind": "Deployment", "name": "llm-predictor"}}
    hpa = document("HorizontalPodAutoscaler", {"apiVersion": "autoscaling/v2", "spec": spec}, "own")
    found = bind([inference({}, mode="Standard", autoscaler="external"), hpa])
    assert found.source == "HorizontalPodAutoscaler default/own"
    assert "holds several autoscalers" in refusal(inference({}, mode="Standard"), hpa)


ON_GPU = {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "1"}}}]}


@pytest.mark.parametrize(
    ("one", "level", "path", "text"),
    [
        (service(min_scale=1), "error", f"annotations.{NOTE}min-scale", "1 is not text"),
        (service(min_scal="1"), "warning", f"{NOTE}min-scal", "did you mean autoscaling.knative.dev/min-scale?"),
        (service(speed="1"), "warning", f"{NOTE}speed", "is no annotation that Knative reads; remove it"),
        (service(min_scale="3", max_scale="3"), "warning", f"{NOTE}max-scale", "it never scales"),
        (service(min_scale="3", maxScale="2"), "error", f"{NOTE}max-scale", "fewer than the fewest, 3"),
        (service({"containerConcurrency": 8}, target="20"), "warning", f"{NOTE}target", "20 is above container"),
        (service(), "warning", "spec.template.spec.containerConcurrency", "gets 70 requests at once"),
        (service(ON_GPU), "note", "serving.knative.dev/progress-deadline", "600 s (a documented default)"),
        (service(ON_GPU), "note", "annotations", "waits for the whole start of a GPU server"),
        (inference({"scaleMetric": "cpu"}), "error", "spec.predictor.scaleMetric", "cpu needs an HPA"),
        (inference({"scaleMetric": "rps"}, mode="Standard"), "error", "spec.predictor.scaleMetric", "needs Knative"),
        (inference({"containerConcurrency": 4}, mode="Standard"), "warning", "containerConcurrency", "no effect"),
        (inference({"minReplicas": 0}, mode="Standard"), "warning", "minReplicas", "keeps one replica"),
        (inference({"maxReplicas": 1}), "warning", "maxReplicas", "it never scales"),
        (inference({"model": ON_GPU["containers"][0]}), "note", "progress-deadline", "600 s"),
    ],
)
def test_what_lint_finds(one: Document, level: str, path: str, text: str) -> None:
    found = lint([one])
    assert any(each.level == level and each.path.endswith(path) and text in each.text for each in found), found


def test_what_lint_does_not_blame() -> None:
    assert not lint([service({"containerConcurrency": 8}, min_scale="1", max_scale="4", target="6")])
    assert not lint([service(metric="rps", target="100", window="30s")])
    assert not lint([inference({"scaleTarget": 8, "maxReplicas": 3})])
    spec = {"maxReplicas": 7, "minReplicas": 2, "scaleTargetRef": {"kind": "Deployment", "name": "llm-predictor"}}
    hpa = document("HorizontalPodAutoscaler", {"apiVersion": "autoscaling/v2", "spec": spec}, "own")
    beside = lint([inference({}, mode="Standard", autoscaler="external"), hpa])
    assert not [one for one in beside if one.source.startswith("InferenceService")]
    slip = lint([service({"containerConcurrency": 8}, min_scal="1")])
    assert len(slip) == 1, "told once"
    moved = document("KnativeService", {"metadata": {"annotations": {f"{NOTE}max-scale": "5"}}, "spec": {}})
    assert any(one.level == "error" and "has no effect on the Service itself" in one.text for one in lint([moved]))
