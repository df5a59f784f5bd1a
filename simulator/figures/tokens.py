"""What a result says of tokens, where LLMs are served."""

from __future__ import annotations

from simulator.figures.results import Result
from simulator.figures.statistics import Estimate, mean_of


def per_second(result: Result, name: str, workload: str | None = None) -> Estimate:
    """Tokens of one kind (`input_tokens`, `output_tokens`) in answers that came in time, a second."""
    return mean_of([count / result.seconds for count in _counts(result, name, workload)])


def cost_per_million(result: Result, name: str) -> Estimate:
    """Dollars per million such tokens, as if all were paid for them."""
    counts = _counts(result, name)
    if not all(counts):
        return Estimate(None, reason="a replication answered no request in time")
    return mean_of([1e6 * cost / count for cost, count in zip(result.bills, counts, strict=True)])


def _counts(result: Result, name: str, workload: str | None = None) -> list[float]:
    """By replication."""
    number = result.place(workload)
    own = slice(None) if number is None else slice(number, number + 1)
    return [float(run.tokens[name][own, result.begin :].sum()) for run in result.tallies]
