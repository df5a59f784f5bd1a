"""What tests against exact values share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from cases import case, poisson, pool

from simulator.batching import Continuous
from simulator.case import Case
from simulator.dispatch import RoundRobin
from simulator.figures.engines import engines
from simulator.figures.results import Result
from simulator.figures.statistics import quantile
from simulator.llm.service import OUTPUT, PROMPT, LlmRoofline
from simulator.quantities import SECOND
from simulator.run.engine import simulate
from simulator.run.recording import CAUSES
from simulator.run.tape import Tape
from simulator.service import Exponential, Table
from simulator.sharing import Shared
from simulator.sizes import Constant as Fixed
from simulator.sizes import Empirical

REPLICATIONS = 16
GEOMETRIC = np.rint(-1000 * np.log1p(-(np.arange(2000) + 0.5) / 2000)).astype(int).tolist()
"""A thousand on average, nearly: equally likely values."""


class Simulated:
    """Replications of a case, after its warm-up; times in seconds."""

    def __init__(self, case: Case, replications: int = REPLICATIONS) -> None:
        self.case = case
        self.runs = [simulate(case, number) for number in range(replications)]
        self.measured = [run.arrived >= (case.warmup or 0) for run in self.runs]
        pairs = list(zip(self.runs, self.measured, strict=True))
        self.latency = [run.latency[chosen] / SECOND for run, chosen in pairs]
        compute = CAUSES.index("compute")
        self.wait = [(run.latency - run.causes()[compute])[chosen] / SECOND for run, chosen in pairs]
        self.outcome = [run.outcome[chosen] for run, chosen in pairs]

    def batches(self) -> list[float]:
        """Mean size of a batch of the first pool."""
        return [float(run.pools[0].batches[len(run.pools[0].batches) // 10 :, 4].mean()) for run in self.runs]

    def present(self, every: int) -> list[np.ndarray]:
        """Requests in the system, looked at every so many seconds, by replication."""
        moments = np.arange(self.case.warmup or 0, self.case.duration, every * SECOND)
        ends = [np.sort(run.arrived + run.latency) for run in self.runs]
        came = [np.searchsorted(run.arrived, moments, "right") for run in self.runs]
        return [one - np.searchsorted(end, moments, "right") for one, end in zip(came, ends, strict=True)]

    def works(self) -> list[np.ndarray]:
        """Seconds that each request would take alone in the first stage, by replication."""
        found = []
        for number, chosen in enumerate(self.measured):
            tape = Tape(self.case, number)
            for _ in tape.blocks():
                pass
            work = self.case.stages[0].service.work()
            found.append(np.array([work(1, drawn) for drawn in tape.service])[chosen] / SECOND)
        return found


def agrees(parts: list[float], exact: float, tolerance: float = 0.02) -> None:
    """The mean of independent values lies within 4 standard errors of the exact value.

    The standard error must be small, so that a wrong engine cannot hide in a wide interval.
    """
    error = float(np.std(parts, ddof=1)) / len(parts) ** 0.5
    assert error < tolerance * abs(exact), f"too noisy to prove anything: {error} of {exact}"
    assert abs(np.mean(parts) - exact) <= 4 * error, f"{np.mean(parts)} against {exact}, standard error {error}"


def means(parts: list[np.ndarray]) -> list[float]:
    """The mean of each replication."""
    return [float(part.mean()) for part in parts]


def quantiles(parts: list[np.ndarray], q: float) -> list[float]:
    """The quantile of each replication."""
    return [quantile(part, q) for part in parts]


def exponential(mean: str) -> Exponential:
    """Exponential service, batches of any size alike."""
    return Exponential.model_validate({"per_request": mean})


def bimodal() -> Table:
    """Half a second nine times in ten, otherwise 5.5 s: 1 s on average."""
    work = np.array([[0.5, 0.5, 5.5, 5.5]]) * SECOND
    return Table(name="bimodal", level="assumed", levels=np.array([0, 0.9, 0.9 + 1e-12, 1]), work_ns=work)


def answering(rate: float, outputs: Sequence[int], seconds: float, places: int = 1024) -> Simulated:
    """An LLM engine whose prompts are of one token: a step is 1 ms + 0.05 ms for each request in it."""
    steps = LlmRoofline.model_validate({"weights": "1ms", "per_token": "0ms", "per_request": "50us"})
    settings = {"kv_tokens": 10**8, "max_num_seqs": places, "max_num_batched_tokens": 8192, "async_scheduling": False}
    one = pool(steps, 1, RoundRobin(), Continuous.model_validate(settings))
    answers = Empirical.model_validate({"values": list(outputs)})
    sizes = ((PROMPT, Fixed(value=1)), (OUTPUT, answers))
    return Simulated(case(poisson(rate), one, seconds=seconds, warmup=seconds / 10, seed=7, sizes=sizes))


def running(found: Simulated) -> list[float]:
    """Requests that run on average, as the engine's gauge tells."""
    return [engines(Result(found.case, [run]))[0].running.mean.value or 0.0 for run in found.runs]


def decoding(setup: float, per_request: float, most: int = 64) -> Shared:
    """n at once, each a step further every setup + per_request x n: against setup + per_request alone."""
    alone = setup + per_request
    return Shared(efficiency=tuple(n * alone / (setup + per_request * n) for n in range(1, most + 1)))
