"""Serve configs and RayServices: deployment by deployment, looked over, and refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scenarios.manifests import bind, lint, read
from scenarios.yamlfile import format_yaml
from simulator.autoscaling import Ray
from simulator.errors import InputError
from simulator.quantities import SECOND

HERE = Path(__file__).parent / "manifests"


def config(*deployments: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"applications": [{"name": "app", "import_path": "a:b", "deployments": list(deployments)}]} | fields


def llm(**scaling: Any) -> dict[str, Any]:
    return {"name": "LLM", "autoscaling_config": {"max_replicas": 8} | scaling}


class Files:
    """Writes a Serve config and reads it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "serve.yaml"

    def bind(self, data: dict[str, Any], name: str | None = None, **bindings: str) -> Any:
        self.path.write_text(format_yaml(data))
        return bind(read([self.path]), bindings, name)

    def refusal(self, data: dict[str, Any], name: str | None = None, **bindings: str) -> str:
        with pytest.raises(InputError) as caught:
            self.bind(data, name, **bindings)
        said = str(caught.value)
        assert "\n" not in said
        assert str(self.path) in said
        return said

    def found(self, data: dict[str, Any]) -> dict[str, str]:
        """By path: the level of what lint finds."""
        self.path.write_text(format_yaml(data))
        return {one.path.rpartition(".")[2]: one.level for one in lint(read([self.path]))}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_a_ray_service_becomes_the_autoscaler_field_by_field() -> None:
    found = bind(read([HERE / "ray-service.yaml"]))
    assert found.source == "RayService text/Summariser"
    assert found.autoscaler == Ray.model_validate(
        {
            "min_replicas": 1,
            "initial_replicas": 2,
            "max_replicas": 8,
            "target_ongoing_requests": 3.0,
            "upscale_delay": "10s",
            "downscale_delay": "120s",
            "upscaling_factor": 0.5,
            "aggregation": "max",
        }
    )
    assert "spec.rayClusterConfig has no effect here" in found.remarks
    path = "spec.serveConfigV2.applications[0].deployments[1]"
    assert f"{path}.ray_actor_options has no effect here" in found.remarks
    assert not any("deployments[0]" in remark or "import_path" in remark for remark in found.remarks)


def test_a_serve_config_with_auto_gangs_and_capacity() -> None:
    made = bind(read([HERE / "serve-config.yaml"])).autoscaler
    assert isinstance(made, Ray)
    assert (made.min_replicas, made.max_replicas, made.gang_size, made.target_capacity) == (2, 16, 2, 50)
    assert (made.look_back, made.metrics_interval) == (20 * SECOND, 5 * SECOND)
    assert (made.up(), made.down()) == (0.6, 0.3)


def test_auto_means_a_hundred_replicas_unless_it_says_otherwise(files: Files) -> None:
    made = files.bind(config({"name": "LLM", "num_replicas": "auto"})).autoscaler
    assert (made.min_replicas, made.max_replicas, made.target_ongoing_requests) == (1, 100, 2)
    assert files.bind(config({"name": "LLM", "num_replicas": "auto", **llm()})).autoscaler.max_replicas == 8
    assert files.bind(config({"name": "LLM", "autoscaling_config": {}})).autoscaler.max_replicas == 1


def test_of_several_deployments_one_is_named(files: Files) -> None:
    several = config(llm(), {"name": "Other", "num_replicas": "auto"}, {"name": "Fixed", "num_replicas": 3})
    said = files.refusal(several)
    assert "holds several autoscalers: ServeConfig default/LLM, ServeConfig default/Other" in said
    assert files.bind(several, "Other").autoscaler.max_replicas == 100
    assert "'Fixed' is not an autoscaler in it" in files.refusal(several, "Fixed")
    twice = {"applications": [{**config(llm())["applications"][0], "name": name} for name in ("a", "b")]}
    assert files.bind(twice, "b/LLM").source == "ServeConfig default/b/LLM"


def test_seconds_may_be_fractions(files: Files) -> None:
    made = files.bind(config(llm(upscale_delay_s=0.25, downscale_to_zero_delay_s=1e-5))).autoscaler
    assert (made.upscale_delay, made.downscale_to_zero_delay) == (SECOND // 4, 10_000)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (config(llm(max_replicas="x")), "applications[0].deployments[0].autoscaling_config.max_replicas: 'x' is not a"),
        (config(llm(min_replicas=9)), "max_replicas 8 is below min_replicas 9"),
        (config(llm(target_ongoing_requests="many")), "target_ongoing_requests: 'many' is not a number"),
        (config(llm(upscale_delay_s=float("nan"))), "upscale_delay"),
        (config(llm(upscale_delay_s=-1)), "upscale_delay"),
        (config(llm(policy={"policy_function": "my.code:scale"})), "my.code:scale is code of your own"),
        (config({**llm(), "num_replicas": 3}), "num_replicas: stands beside autoscaling_config"),
        (config({"name": "LLM", "num_replicas": 3}), "holds no autoscaler, but ServeConfig without autoscaling_config"),
        (config({**llm(), "gang_scheduling_config": {"gang_size": 3}}), "max_replicas 8 is no multiple of gang_size 3"),
        (config(llm(), target_capacity=101), "target_capacity: 101.0: input should be less than or equal to 100"),
        ({"applications": [3]}, "applications[0]: 3 is not a mapping"),
        (
            {"applications": [{**config(llm())["applications"][0], "autoscaling_policy": {"policy_function": "a:b"}}]},
            "applications[0].autoscaling_policy: is code of your own",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(files: Files, data: dict[str, Any], said: str) -> None:
    assert said in files.refusal(data)


def test_nothing_is_bound(files: Files) -> None:
    assert "--bind queued: " in files.refusal(config(llm()), queued="queue")
    assert "Ray Serve counts its own requests" in files.refusal(config(llm()), queued="queue")


def test_ray_services_without_a_config_that_is_one(files: Files) -> None:
    service = {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": {"name": "s"}}
    assert "spec: None is not a mapping" in files.refusal(service)
    assert "spec.serveConfigV2: is required" in files.refusal(service | {"spec": {}})
    assert "spec.serveConfigV2: 'text' is not a mapping" in files.refusal(service | {"spec": {"serveConfigV2": "text"}})
    assert "spec.serveConfigV2: line 1" in files.refusal(service | {"spec": {"serveConfigV2": "a: [1"}})


@pytest.mark.parametrize(
    ("deployment", "field", "level"),
    [
        ({"name": "LLM", "autoscaling_config": {}}, "max_replicas", "warning"),
        (llm(target_ongoing_requests=5), "target_ongoing_requests", "warning"),
        ({**llm(target_ongoing_requests=5), "max_ongoing_requests": 6}, "target_ongoing_requests", None),
        (llm(look_back_period_s=10), "look_back_period_s", "warning"),
        (llm(upscale_delay_s=3), "upscale_delay_s", "note"),
        (llm(upscale_delay_s=0), "upscale_delay_s", None),
        (llm(min_replicas=0), "min_replicas", "note"),
        (llm(smoothing_factor=0.5), "smoothing_factor", "note"),
        (llm(), "max_replicas", None),
    ],
)
def test_what_lint_finds(files: Files, deployment: dict[str, Any], field: str, level: str | None) -> None:
    assert files.found(config(deployment)).get(field) == level


def test_lint_tells_what_cannot_be_read(files: Files) -> None:
    assert files.found(config(llm(max_replicas="x"))) == {"": "warning"}
