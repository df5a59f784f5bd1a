"""A cluster's manifests become the skeleton of a scenario: what they tell is in it, what they do not is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from filling import ANSWERS, filled
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios.blanks import FILL_IN, blanks
from scenarios.cluster import Skeleton, Source, skeleton
from scenarios.cluster.writing import Noted, lines, plain
from scenarios.load import load, validate
from scenarios.manifests import read
from scenarios.yamlfile import parse_yaml
from simulator.errors import InputError
from simulator.quantities import SECOND
from ui.cli import main

HERE = Path(__file__).parent / "manifests"


def imported(*sources: str | Path) -> Skeleton:
    return skeleton([Source(str(one), read([one])) for one in sources])


def whole(found: Skeleton) -> Any:
    """The scenario once everything is filled in."""
    return filled(parse_yaml(found.text()))


def written(tmp_path: Path, *objects: dict[str, Any]) -> Path:
    file = tmp_path / "cluster.json"
    file.write_text("\n---\n".join(map(json.dumps, objects)))
    return file


def deployment(*, replicas: int | None = 3, container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    one = {"name": "main", "image": "registry.example/api:1", "resources": {"requests": {"cpu": "2"}}}
    pod = {"containers": [one | (container or {})]} | spec
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "api"},
        "spec": {"replicas": replicas, "template": {"metadata": {"labels": {"app": "api"}}, "spec": pod}},
    }


def node(kind: str = "metal-8", cpu: str = "8", memory: str = "32Gi", **more: Any) -> dict[str, Any]:
    labels = {"node.kubernetes.io/instance-type": kind} | more.pop("labels", {})
    amounts = {"cpu": cpu, "memory": memory, **more}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n", "labels": labels},
        "status": {"capacity": amounts, "allocatable": amounts},
    }


def pool_of(found: Skeleton) -> dict[str, Any]:
    (pool,) = found.plain["pools"].values()
    assert isinstance(pool, dict)
    return pool


def test_an_engine_behind_keda_becomes_its_pool() -> None:
    """4 GPUs a node, 63.5 cores and 495 GiB: pods of 1 GPU, 8 cores, 48 GiB fit 4, 7 and 10 times, so 4 times."""
    found = imported(HERE / "vllm-production-stack.yaml")
    pool = pool_of(found)
    assert pool == {
        "instance": "bare-l40s-4",
        "replicas": 2,
        "per_machine": 4,
        "zones": ["rack-a"],
        "balancer": "kube_proxy_iptables",
        "batching": FILL_IN,
        "start": {"provision": FILL_IN, "image": FILL_IN, "weights": FILL_IN, "warm_up": FILL_IN},
        "grace": "120s",
        "autoscaler": {"kind": "manifest", "file": str(HERE / "vllm-production-stack.yaml")},
        "faults": [],
    }
    machine = found.plain["instances"]["bare-l40s-4"]
    assert (machine["cores"], machine["memory"]) == (64, "515625MiB")
    assert machine["accelerator"] == {"name": "NVIDIA-L40S", "count": 4, "memory": "46068MiB"}
    text = found.text()
    for said in (
        "image vllm/vllm-openai:v0.10.1",
        "the startup probe gives a container up after 615s",  # 15 s + 60 * 10 s
        "max_surge: 1, max_unavailable: 0",
        "progressDeadlineSeconds",
        "spec.template.spec.containers[0].volumeMounts",
    ):
        assert said in text


def test_a_skeleton_names_each_place_and_loads_once_they_are_filled_in(tmp_path: Path) -> None:
    found = imported(HERE / "vllm-production-stack.yaml")
    file = tmp_path / "scenario.yaml"
    file.write_text(found.text())
    with pytest.raises(InputError) as caught:
        load(file)
    said = str(caught.value)
    assert said.startswith(f"{file}: still to be filled in: workloads.llama3-deployment-vllm.arrivals.rate, models.")
    assert all(path in said for path, _ in found.open)
    assert "\n" not in said
    assert [path for path, _ in found.open] == list(blanks(found.plain)) == list(blanks(parse_yaml(file.read_text())))
    case = load(file, [f"{path}={json.dumps(_answer(path))}" for path, _ in found.open]).case()
    assert case.pools[0].grace == 120 * SECOND
    assert case.pools[0].autoscaler.bounds(2) == (1, 6)


def _answer(path: str) -> Any:
    return "p95(latency)<1s" if path.startswith("slos") else ANSWERS[path.rpartition(".")[2]]


@pytest.mark.parametrize(
    ("container", "spec", "each"),
    [
        ({}, {}, 4),  # 8 cores / 2
        ({"resources": {"requests": {"cpu": "1500m", "memory": "8Gi"}}}, {}, 4),  # 8 / 1.5 = 5, 32 / 8 = 4
        ({"resources": {"limits": {"cpu": "3"}}}, {}, 2),  # a limit alone is the request: 8 / 3
        ({"resources": {}}, {}, 1),
        ({}, {"initContainers": [{"name": "w", "resources": {"requests": {"cpu": "4"}}}]}, 2),  # the start asks for 4
        (
            {},
            {"initContainers": [{"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}]},
            2,  # the sidecar stays: 2 + 1
        ),
        (
            {},
            {
                "affinity": {
                    "podAntiAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname"}]
                    }
                }
            },
            1,
        ),
    ],
)
def test_how_many_replicas_fit_on_a_machine(
    tmp_path: Path, container: dict[str, Any], spec: dict[str, Any], each: int
) -> None:
    found = imported(written(tmp_path, deployment(container=container, **spec), node()))
    pool = pool_of(found)
    assert pool["instance"] == "metal-8"
    assert pool.get("per_machine", 1) == each


def test_the_machines_are_those_that_take_the_pods(tmp_path: Path) -> None:
    big = node("big", "64", **{"nvidia.com/gpu": "8"}, labels={"tier": "gpu"})
    asks = {"resources": {"requests": {"cpu": "2"}, "limits": {"nvidia.com/gpu": 2}}}
    small = [node("small"), node("small")]
    assert pool_of(imported(written(tmp_path, deployment(container=asks), *small, big)))["instance"] == "big"
    assert pool_of(imported(written(tmp_path, deployment(), *small, big)))["instance"] == "small"
    chosen = deployment(nodeSelector={"tier": "gpu"})
    assert pool_of(imported(written(tmp_path, chosen, *small, big)))["instance"] == "big"
    assert pool_of(imported(written(tmp_path, deployment(container=asks), big)))["per_machine"] == 4


def test_an_instance_type_may_be_named_without_nodes(tmp_path: Path) -> None:
    """g4dn.xlarge is in the catalogue: 4 cores, one accelerator."""
    named = deployment(nodeSelector={"node.kubernetes.io/instance-type": "g4dn.xlarge"})
    found = imported(written(tmp_path, named))
    assert (pool_of(found)["instance"], pool_of(found)["per_machine"]) == ("g4dn.xlarge", 2)
    assert "instances" not in found.plain
    rule = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["c9.huge", "g5.xlarge"]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [rule]}]}
    affine = deployment(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}})
    found = imported(written(tmp_path, affine))
    assert found.plain["instances"]["c9.huge"]["price"] == FILL_IN
    assert "may run on c9.huge, g5.xlarge: the first is taken" in found.text()
    found = imported(written(tmp_path, deployment()))
    assert pool_of(found)["instance"] == "machine-of-api"
    assert "instances.machine-of-api.cores" in [path for path, _ in found.open]


def test_karpenter_tells_types_and_the_quota(tmp_path: Path) -> None:
    """10 cores are allowed, a g4dn.xlarge has 4: two machines, and 4 replicas of 2 cores on them."""
    rule = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["g4dn.xlarge"]}
    spot = {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]}
    spec = {"template": {"spec": {"requirements": [rule, spot]}}, "limits": {"cpu": "10"}}
    offer = {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "gpus"}, "spec": spec}
    found = imported(written(tmp_path, deployment(), offer))
    pool = pool_of(found)
    assert (pool["instance"], pool["quota"], pool["per_machine"]) == ("g4dn.xlarge", 2, 2)
    unused = found.unused["NodePool default/gpus"]
    assert "spec.template.spec.requirements[1].operator" in unused
    found = imported(written(tmp_path, deployment(replicas=9), offer))
    assert "quota" not in pool_of(found)
    assert "have room for 2 machines, too few: left out" in found.text()


def test_a_service_leads_to_the_pods_with_its_labels(tmp_path: Path) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front"}}
    spec = {"selector": {"app": "api"}, "sessionAffinity": "ClientIP", "trafficDistribution": "PreferClose"}
    found = imported(written(tmp_path, deployment(), service | {"spec": spec}))
    assert pool_of(found)["balancer"] == "kube_proxy_iptables"
    assert "keeps clients on their replica" in found.text()
    assert found.unused["Service default/front"] == ("spec.trafficDistribution",)
    found = imported(written(tmp_path, deployment(), service | {"spec": {"selector": {"app": "other"}}}))
    assert "balancer" not in pool_of(found)


def test_replicas_begin_inside_the_bounds_of_their_autoscaler(tmp_path: Path) -> None:
    target = {"kind": "Deployment", "name": "api"}
    hpa = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "api"}}
    hpa |= {"spec": {"scaleTargetRef": target, "minReplicas": 4, "maxReplicas": 9}}
    file = written(tmp_path, deployment(), hpa)
    found = imported(file)
    assert pool_of(found)["replicas"] == 4
    assert "the manifest has 3 replicas: it begins with 4" in found.text()
    assert pool_of(imported(written(tmp_path, deployment(replicas=None), hpa)))["replicas"] == 4
    written(tmp_path, deployment(), hpa)
    relative = skeleton([Source(str(file), read([file]))], tmp_path)
    assert pool_of(relative)["autoscaler"]["file"] == str(file)  # absolute paths stay


def test_a_metric_that_nothing_is_known_of_is_a_place_to_be_filled_in(tmp_path: Path) -> None:
    metrics = [
        {"type": "External", "external": {"metric": {"name": name}, "target": {"type": "Value", "value": 5}}}
        for name in ("my_backlog", "queue_size", "my_tokens")
    ]
    spec = {"scaleTargetRef": {"name": "api"}, "maxReplicas": 9, "metrics": metrics}
    hpa = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "api"}, "spec": spec}
    found = imported(written(tmp_path, deployment(), hpa))
    assert pool_of(found)["autoscaler"]["bind"] == {"my_backlog": FILL_IN, "my_tokens": FILL_IN}
    notes = dict(found.open)
    said = notes["pools.api.autoscaler.bind.my_tokens"]
    assert (
        "spec.metrics[2]: metric my_tokens: 'my_tokens' is not a metric known by name; a signal such as queue" in said
    )
    validate(whole(found))


def test_the_readiness_probe_is_a_step_of_the_start(tmp_path: Path) -> None:
    probe = {"readinessProbe": {"initialDelaySeconds": 20, "periodSeconds": 5, "successThreshold": 2}}
    found = imported(written(tmp_path, deployment(container=probe)))
    assert pool_of(found)["start"]["probe"] == {"initial_delay": "20s", "period": "5s", "successes": 2}
    validate(whole(found))
    probe["readinessProbe"] = {}  # the defaults of Kubernetes
    found = imported(written(tmp_path, deployment(container=probe)))
    assert pool_of(found)["start"]["probe"] == {"initial_delay": "0s", "period": "10s", "successes": 1}
    assert "no readiness probe" in imported(written(tmp_path, deployment())).text()


def test_stdin_has_no_file_that_a_scenario_could_name(tmp_path: Path) -> None:
    documents = read([HERE / "vllm-production-stack.yaml"])
    found = skeleton([Source("-", documents)])
    scaler = pool_of(found)["autoscaler"]
    assert (scaler["kind"], scaler["max_replicas"]) == ("keda", 6)
    validate(whole(found))


def test_several_workloads_of_one_name_keep_apart(tmp_path: Path) -> None:
    other = deployment()
    other["metadata"] = {"name": "api", "namespace": "test"}
    stateful = deployment() | {"kind": "StatefulSet", "metadata": {"name": "db"}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": {}}
    found = imported(written(tmp_path, deployment(), other, stateful, job))
    assert list(found.plain["pools"]) == ["default-api", "test-api", "db"]
    assert found.unused["Job default/once"] == ()
    assert "starts its pods one after another" in found.text()
    assert "write them as the stages of one model" in found.text()
    validate(whole(found))


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        ([{"kind": "Service", "metadata": {"name": "s"}}], "holds nothing that serves, but Service; give a Deployment"),
        ([{"kind": "Deployment", "metadata": {"name": "a"}, "spec": {}}], "default/a: spec.template: is required"),
        ([deployment(replicas="x")], "spec.replicas: 'x' is not a whole number"),  # type: ignore[arg-type]
        ([deployment(container={"resources": {"requests": {"cpu": "x"}}})], "requests.cpu: 'x' is not a quantity"),
        ([deployment(), node(cpu="many")], "Node default/n: status.capacity.cpu: 'many' is not a quantity"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, objects: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(InputError) as caught:
        imported(written(tmp_path, *objects))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_writes_the_file_and_lists_what_is_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["import", "kubernetes", str(HERE / "vllm-production-stack.yaml")]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--out", str(tmp_path / "s.yaml")])
    told = capsys.readouterr()
    assert ended.value.code == 0
    assert "To be filled in" in told.out
    assert "spec.template.spec.volumes" in told.out
    text = (tmp_path / "s.yaml").read_text()
    with pytest.raises(SystemExit):
        main([*words, "-q"])
    assert capsys.readouterr() == (text, "")
    with pytest.raises(SystemExit) as ended:
        main(["run", str(tmp_path / "s.yaml")])
    assert ended.value.code == 2
    assert "still to be filled in: workloads." in capsys.readouterr().err


TEXTS = st.text(max_size=12) | st.sampled_from(["null", "1e3", "yes", "a: b", "# no", "FILL IN", "0x1f", "-", "1.5GiB"])
TREES = st.dictionaries(
    TEXTS,
    st.recursive(
        TEXTS | st.integers() | st.booleans() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=6,
    ).flatmap(lambda value: st.just(value) | TEXTS.map(lambda note: Noted(value, note))),
    max_size=4,
)


@settings(max_examples=200, deadline=None)
@given(TREES)
def test_what_is_written_is_read_back(data: dict[str, Any]) -> None:
    assert parse_yaml("\n".join(lines(data)) or "{}") == plain(data)
