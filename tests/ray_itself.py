"""Ray Serve's own decisions on random histories, and the file of them that the tests replay.

python -m venv ray-env && ray-env/bin/pip install 'ray[serve]==2.60.0'
ray-env/bin/python tests/ray_itself.py tests/golden/ray-decisions.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from ray_histories import PASSES, History, Report, Turn

HISTORIES = 2000


class Watch:
    """The clock of a history, in the place of the module `time`."""

    now = 0

    def time(self) -> float:
        return self.now / 1000

    monotonic = time


class OfRay:
    """The controller's own object for one deployment, from reports to bounds."""

    def __init__(self, history: History, watch: Watch) -> None:
        from ray.serve._private import autoscaling_state, common, config, deployment_info
        from ray.serve.config import AutoscalingConfig, GangSchedulingConfig

        self.common, self.watch = common, watch
        gang = GangSchedulingConfig(gang_size=history.gang) if history.gang > 1 else None
        scaling = AutoscalingConfig(**history.config)
        deployment = config.DeploymentConfig(num_replicas=history.gang, autoscaling_config=scaling)
        deployment.gang_scheduling_config = gang
        directions = {None: None, "up": common.TargetCapacityDirection.UP, "down": common.TargetCapacityDirection.DOWN}
        info = deployment_info.DeploymentInfo(
            deployment_config=deployment,
            replica_config=config.ReplicaConfig.create(object),
            start_time_ms=0,
            deployer_job_id="",
            target_capacity=history.capacity,
            target_capacity_direction=directions[history.direction],
        )
        self.id = common.DeploymentID("d", "a")
        self.state = autoscaling_state.DeploymentAutoscalingState(self.id)
        self.deployed: int | None = self.state.register(info, history.first)
        self.columnar = history.seed % 2 == 1
        if not history.reported:
            self.total = 0.0
            self.state.get_total_num_requests = lambda: self.total

    def decide(self, turn: Turn, target: int) -> int:
        """One pass."""
        self.watch.now = turn.now
        target, self.deployed = target if self.deployed is None else self.deployed, None
        self.total = turn.total
        self.state.update_running_replica_ids([self._id(name) for name in turn.running])
        if turn.report is not None:
            self._hear(turn.report)
        self.state.drop_stale_handle_metrics(set())
        found: int = self.state.get_decision_num_replicas(target)
        return found

    def _id(self, name: str) -> Any:
        return self.common.ReplicaID(name, self.id)

    def _hear(self, report: Report) -> None:
        from ray.serve._private import autoscaling_metrics_codec as codec

        def series(points: list[tuple[int, int]]) -> list[Any]:
            return [self.common.TimeStampedValue(time / 1000, float(value)) for time, value in points]

        told = {self._id(name).to_full_id_str(): series(points) for name, points in report.running.items()}
        made = self.common.HandleMetricReport(
            deployment_id=self.id,
            handle_id="h",
            actor_id="",
            handle_source=self.common.DeploymentHandleSource.UNKNOWN,
            queued_requests=series(report.queued),
            metrics={self.common.RUNNING_REQUESTS_KEY: told},
            timestamp=self.watch.time(),
        )
        if self.columnar:
            self.state.record_columnar_metrics_for_handle(codec.decode_handle_flat(codec.encode(made)))
        else:
            self.state.record_request_metrics_for_handle(made)


def decisions(seed: int) -> list[list[int]]:
    """What Ray does with a history."""
    from ray.serve import autoscaling_policy
    from ray.serve._private import autoscaling_state

    watch = Watch()
    with mock.patch.object(autoscaling_state, "time", watch), mock.patch.object(autoscaling_policy, "time", watch):
        history = History(seed)
        return history.play(OfRay(history, watch).decide)


def main() -> None:
    import ray

    about = "Ray's own decisions: [pass, replicas] wherever they change, by the seed of the history (ray_histories.py)"
    command = f"python {' '.join(sys.argv)}"
    found = [decisions(seed) for seed in range(HISTORIES)]
    data = {"about": about, "ray": ray.__version__, "command": command, "passes": PASSES, "decisions": found}
    Path(sys.argv[1]).write_text(json.dumps(data, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
