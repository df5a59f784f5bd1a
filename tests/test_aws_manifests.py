"""Policies of AWS as its command line takes and prints them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scenarios.manifests import Bound, Document, bind, lint, read
from scenarios.manifests.aws_metrics import METRICS
from scenarios.manifests.binding import parse_binding
from simulator.autoscaling import StepScaling, TargetTracking
from simulator.autoscaling.aws import Step
from simulator.errors import InputError
from simulator.quantities import SECOND

HERE = Path(__file__).parent / "manifests"
RESOURCE = {"ServiceNamespace": "ecs", "ResourceId": "service/shop/web"}
BOUNDS = {**RESOURCE, "MinCapacity": 1, "MaxCapacity": 9}
CPU = {
    "TargetValue": 70.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"},
}
STEPS = [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}]
ALARM = {"AlarmName": "late", "AlarmActions": ["arn:aws:autoscaling:x:1:scalingPolicy:c:resource/x:policyName/up"],
         "MetricName": "CPUUtilization", "Threshold": 80, "ComparisonOperator": "GreaterThanThreshold"}  # fmt: skip


def tracking(**changes: Any) -> dict[str, Any]:
    config = CPU | changes
    return {**RESOURCE, "PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": config}


def stepping(**changes: Any) -> dict[str, Any]:
    config = {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": STEPS} | changes
    return {**RESOURCE, "PolicyName": "up", "PolicyType": "StepScaling", "StepScalingPolicyConfiguration": config}


@pytest.fixture
def bound(tmp_path: Path) -> Any:
    def found(*documents: Any, name: str | None = None, **bindings: str) -> Bound:
        for path in tmp_path.iterdir():
            path.unlink()
        for number, one in enumerate(documents):
            (tmp_path / f"{number}.json").write_text(json.dumps(one))
        return bind(read([tmp_path]), bindings, name)

    return found


def refusal(bound: Any, *documents: Any, **bindings: str) -> str:
    with pytest.raises(InputError) as caught:
        bound(*documents, **bindings)
    return str(caught.value).partition("0.json: ")[2]


def tracker(found: Bound) -> TargetTracking:
    assert isinstance(found.autoscaler, TargetTracking)
    return found.autoscaler


def test_a_policy_of_sagemaker_field_by_field() -> None:
    found = bind(read([HERE / "aws-sagemaker.yaml"]))
    assert found.source == "ScalingPolicy sagemaker/endpoint/reranker/variant/AllTraffic"
    made = tracker(found)
    assert (made.min_replicas, made.max_replicas, made.interval, made.instance_warmup) == (2, 12, 60 * SECOND, None)
    (policy,) = made.policies
    assert (policy.target, policy.out_cooldown, policy.in_cooldown) == (1800, 120 * SECOND, 600 * SECOND)
    assert (policy.out_after, policy.in_after, policy.disable_scale_in) == (3, 15, False)
    assert (policy.reads.signal, policy.reads.scale, policy.reads.over) == ("arrival_rate", 60, "mean")
    assert any("observed, not documented" in remark for remark in found.remarks)


def test_what_is_described_of_a_service_is_one_autoscaler_with_the_counts_of_its_alarms() -> None:
    made = tracker(bind(read([HERE / "aws-ecs-described.yaml"])))
    busy, calls = made.policies
    assert (busy.disable_scale_in, busy.out_after, busy.out_of, busy.in_after) == (True, 5, 5, 15)
    assert (calls.in_after, calls.in_of, calls.low_threshold, calls.out_after) == (9, 15, 0.8, 3)
    assert (calls.out_cooldown, busy.out_cooldown) == (60 * SECOND, 300 * SECOND)
    (rush,) = made.steps
    assert (rush.after, rush.among, rush.threshold, rush.comparison) == (2, 3, 85, ">=")
    assert rush.steps == (Step(lower=0, upper=10, change=25), Step(lower=10, change=100))
    assert (rush.adjustment, rush.min_magnitude) == ("PercentChangeInCapacity", 2)
    assert list(made.reads()) == ["ECSServiceAverageCPUUtilization", "ALBRequestCountPerTarget", "CPUUtilization"]


def test_a_group_of_ec2_warms_up_and_a_long_alarm_is_looked_at_every_minute() -> None:
    made = tracker(bind(read([HERE / "aws-ec2-group.yaml"])))
    assert (made.min_replicas, made.max_replicas, made.instance_warmup) == (1, 8, 240 * SECOND)
    assert (made.policies[0].reads.signal, made.policies[0].reads.scale) == ("utilisation", 100)
    (backlog,) = made.steps
    assert (backlog.adjustment, backlog.period, made.interval) == ("ExactCapacity", 300 * SECOND, 60 * SECOND)
    assert made.reads()["ApproximateNumberOfMessagesVisible"].window == 300 * SECOND


def test_a_group_tells_its_warmup_where_policies_do_not(bound: Any) -> None:
    group = {"AutoScalingGroupName": "gpus", "MinSize": 1, "MaxSize": 4, "DefaultCooldown": 120}
    policy = {"AutoScalingGroupName": "gpus", "PolicyType": "TargetTrackingScaling", "TargetTrackingConfiguration": CPU}
    assert tracker(bound(policy, {**group, "DefaultInstanceWarmup": -1})).instance_warmup == 120 * SECOND
    assert tracker(bound(policy, {**group, "DefaultInstanceWarmup": 30})).instance_warmup == 30 * SECOND
    assert tracker(bound(policy, {"AutoScalingGroups": [group]})).instance_warmup == 120 * SECOND
    del group["DefaultCooldown"]
    assert "is given: 300s is assumed" in " ".join(bound(policy, group).remarks)


def test_the_configuration_alone_is_enough_beside_bounds(bound: Any) -> None:
    assert tracker(bound(CPU, BOUNDS)).policies[0].target == 70


def test_steps_alone_are_step_scaling(bound: Any) -> None:
    made = bound(stepping(), BOUNDS, {**ALARM, "Period": 10, "EvaluationPeriods": 2}).autoscaler
    assert isinstance(made, StepScaling)
    assert (made.interval, made.policies[0].period, made.policies[0].after) == (10 * SECOND, 10 * SECOND, 2)


def test_one_metric_read_in_two_ways_gets_two_names(bound: Any) -> None:
    down = {**ALARM, "AlarmName": "early", "Period": 300, "ComparisonOperator": "LessThanThreshold"}
    found = bound(stepping(), BOUNDS, ALARM, down)
    assert list(found.autoscaler.reads()) == ["CPUUtilization", "CPUUtilization 2"]


def test_some_services_have_no_cooldown_unless_it_is_said(bound: Any) -> None:
    policy = {**tracking(ScaleInCooldown=5), "ServiceNamespace": "lambda"}
    (made,) = tracker(bound(policy, BOUNDS)).policies
    assert (made.out_cooldown, made.in_cooldown) == (0, 5 * SECOND)


def test_a_custom_metric_is_bound(bound: Any) -> None:
    custom = {"MetricName": "Backlog", "Namespace": "Mine", "Statistic": "Average"}
    policy = tracking(PredefinedMetricSpecification=None, CustomizedMetricSpecification=custom)
    assert refusal(bound, policy, BOUNDS).endswith(
        "metric Backlog: 'Backlog' is not a metric known by name; bind it with --bind Backlog=SIGNAL, such as "
        "--bind Backlog=queue or 'Backlog=utilisation*100 over 1m mean'; --bind Backlog=none leaves it out"
    )
    with pytest.raises(InputError, match="--bind Backlog: is needed: nothing else scales this; bind it to a signal"):
        bound(policy, BOUNDS, Backlog="none")
    assert tracker(bound(policy, BOUNDS, Backlog="queue*2")).policies[0].reads.scale == 2
    maths = {"Metrics": [{"Id": "a", "ReturnData": False}, {"Id": "each", "Expression": "a / b"}]}
    policy = tracking(PredefinedMetricSpecification=None, CustomizedMetricSpecification=maths)
    assert tracker(bound(policy, BOUNDS, each="concurrency mean")).policies[0].name == "each"
    assert "--bind each=SIGNAL" in refusal(bound, policy, BOUNDS)


def test_a_statistic_says_how_replicas_become_one(bound: Any) -> None:
    for statistic, over in (("Average", "mean"), ("Maximum", "max"), ("Sum", "sum"), (None, "mean")):
        custom = {"MetricName": "vllm:num_requests_running", "Statistic": statistic}
        policy = tracking(PredefinedMetricSpecification=None, CustomizedMetricSpecification=custom)
        assert tracker(bound(policy, BOUNDS)).policies[0].reads.over == over


@pytest.mark.parametrize("name", METRICS)
def test_every_known_metric_is_a_binding(name: str) -> None:
    assert parse_binding(name, METRICS[name][0].format(period=60))


def test_several_resources_are_told_apart_by_name(bound: Any) -> None:
    other = {**tracking(TargetValue=50), "ResourceId": "service/shop/api"}
    both = (tracking(), other, BOUNDS, {**BOUNDS, "ResourceId": "service/shop/api", "MaxCapacity": 5})
    with pytest.raises(InputError, match="holds several autoscalers"):
        bound(*both)
    assert tracker(bound(*both, name="service/shop/api")).max_replicas == 5


def test_a_policy_that_is_switched_off_is_left_out(bound: Any) -> None:
    found = bound(tracking(), {**stepping(), "Enabled": False}, BOUNDS)
    assert "up is not enabled: it is left out" in found.remarks
    assert refusal(bound, {**tracking(), "Enabled": False}, BOUNDS).endswith("no policy is enabled; enable one")


def test_without_bounds_it_says_how_to_give_them(bound: Any) -> None:
    assert refusal(bound, tracking()) == (
        "ScalingPolicy ecs/service/shop/web: nothing tells its fewest and most replicas; give one more -f with what "
        'register-scalable-target takes, such as {"ResourceId": "service/shop/web", "MinCapacity": 1, '
        '"MaxCapacity": 10}'
    )


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ([tracking(), BOUNDS, BOUNDS], "several documents tell its fewest and most replicas; keep one"),
        ([tracking(), {**BOUNDS, "ResourceId": "other"}], "nothing tells its fewest and most replicas"),
        ([tracking(), {**BOUNDS, "MaxCapacity": 0}], "max_replicas: 0: input should be greater than or equal to 1"),
        ([tracking(), {**RESOURCE, "MaxCapacity": 9}], "MinCapacity: is required; write the bounds of the resource"),
        ([{**tracking(), "PolicyType": "PredictiveScaling"}, BOUNDS], "PolicyType: 'PredictiveScaling' is not read"),
        ([tracking(TargetValue="many"), BOUNDS], "TargetValue: 'many' is not a number; write it such as 60"),
        ([tracking(TargetValue=0), BOUNDS], "policies.0.target: 0.0: input should be greater than or equal to"),
        ([tracking(PredefinedMetricSpecification=None), BOUNDS], "PredefinedMetricSpecification: is required"),
        (
            [tracking(PredefinedMetricSpecification={"PredefinedMetricType": "ECSServiceAverageMemory"}), BOUNDS],
            "bind it with --bind ECSServiceAverageMemory=SIGNAL",
        ),
        ([stepping(), BOUNDS], "no alarm among these documents invokes the policy up; add the input of"),
        ([stepping(AdjustmentType="Change"), BOUNDS, ALARM], "policies.0.adjustment: 'Change': input should be"),
        ([stepping(StepAdjustments=[*STEPS, *STEPS]), BOUNDS, ALARM], "overlap"),
        ([stepping(), BOUNDS, {**ALARM, "ComparisonOperator": "GreaterThan"}], "did you mean 'GreaterThanThreshold'?"),
        ([stepping(), BOUNDS, {**ALARM, "Threshold": None}], "Threshold: is required"),
        ([stepping(), BOUNDS, {**ALARM, "Period": 0}], "Period: 0 is not a period in seconds; write such as 60"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_line(bound: Any, documents: list[Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        bound(*documents)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def looked_over(*documents: dict[str, Any]) -> set[str]:
    """What lint says, by level and field."""
    kinds = [("ScalingPolicy" if "PolicyType" in one else "ScalableTarget", one) for one in documents]
    found = lint([Document(kind, RESOURCE["ResourceId"], "ecs", "f", one) for kind, one in kinds])
    return {f"{one.level} {one.path}" for one in found if one.code != "not-read"}


@pytest.mark.parametrize(
    ("documents", "found"),
    [
        ([tracking(), BOUNDS], set()),
        ([tracking()], {"note "}),
        ([tracking(), {**BOUNDS, "MinCapacity": 9}], {"warning MaxCapacity"}),
        ([tracking(), {**BOUNDS, "MinCapacity": 0}], {"error MinCapacity"}),
        ([tracking(), stepping(), {**BOUNDS, "MinCapacity": 0}], set()),
        ([tracking(DisableScaleIn=True), BOUNDS], {"warning DisableScaleIn"}),
        ([tracking(DisableScaleIn=True), stepping(AdjustmentType="ExactCapacity"), BOUNDS], set()),
        ([tracking(), stepping(StepAdjustments=[{"ScalingAdjustment": -1}]), BOUNDS], {"warning StepAdjustments"}),
        ([tracking(), tracking(TargetValue=50), BOUNDS], {"error PredefinedMetricSpecification"}),
        ([tracking(TargetValue=95), BOUNDS], {"warning TargetValue"}),
        ([tracking(ScaleOutCooldown=30), BOUNDS], {"warning ScaleOutCooldown"}),
        ([stepping(AdjustmentType="PercentChangeInCapacity"), BOUNDS], {"note StepAdjustments"}),
        ([stepping(AdjustmentType="PercentChangeInCapacity", MinAdjustmentMagnitude=2), BOUNDS], set()),
    ],
)
def test_what_lint_finds(documents: list[dict[str, Any]], found: set[str]) -> None:
    assert looked_over(*documents) == found
