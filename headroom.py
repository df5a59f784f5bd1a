"""Headroom: how should we scale this AI inference service?

    load(source, settings)      a scenario from a file or by its shipped name, with `path=value` settings
    library()                   the shipped scenarios by name
    run(loaded)                 replications of it as it stands, and what they say
    compare(loaded, names)      strategies on the same load: what each option costs, and what it reaches
    sentence(comparison)        the answer in a sentence
    winner(comparison)          the cheapest option that meets every objective
    explain(result)             the constraint that binds: the one whose relief by 20 % improves most
    Scenario, Loaded, Case      what people write; where it came from; the same by value
    Result, Comparison, Option, Explanation, Estimate    what comes back
    Uncertainty                 what the inputs of a result leave open, where that was asked: result.uncertainty
    InputError, HeadroomError   what goes wrong

>>> loaded = load("one-big-or-many-small", ["run.replications=2", "pools.encoders.replicas=2"])
>>> result = run(loaded)
>>> result.stability, result.level, result.met
('stable', 'measured', None)
>>> result.percentile(0.99).reason
'insufficient run length: ...'
"""

from __future__ import annotations

from scenarios.compare import Comparison, Option, compare
from scenarios.decision import sentence, winner
from scenarios.doubt import doubt_of, doubted
from scenarios.load import Loaded, library, load
from simulator.case import Case
from simulator.errors import HeadroomError, InputError
from simulator.figures.explain import Explanation, explain
from simulator.figures.replications import Progress, run_case
from simulator.figures.results import Result
from simulator.figures.statistics import Estimate
from simulator.figures.uncertainty import Uncertainty
from simulator.scenario import Scenario

__all__ = [
    "Case",
    "Comparison",
    "Estimate",
    "Explanation",
    "HeadroomError",
    "InputError",
    "Loaded",
    "Option",
    "Result",
    "Scenario",
    "Uncertainty",
    "compare",
    "explain",
    "library",
    "load",
    "run",
    "sentence",
    "winner",
]


def run(
    loaded: Loaded,
    jobs: int = 1,
    progress: Progress | None = None,
    *,
    input_uncertainty: int | None = None,
    load_uncertainty: float | None = None,
) -> Result:
    """All replications of a scenario. Raises InputError when something that it names is wrong.

    `input_uncertainty` repeats them with so many refits of the profiles and draws of the load, and tells in
    `result.uncertainty` what they leave open; stated rates have a standard deviation of `load_uncertainty`, a share of
    them. Where a profile is asked for more than was measured, the ends of its band are run unasked.
    """
    doubt = doubt_of(input_uncertainty, load_uncertainty)
    result = run_case(loaded.case(), jobs, progress)
    return doubted(loaded, result, doubt, jobs, progress)
