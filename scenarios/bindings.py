"""Which constraint binds on other inputs that the data allow: a service explained anew for each draw of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scenarios.certainty import Counts, counted, counts_text, lasting
from scenarios.doubt import Doubt, doubted, other_inputs
from scenarios.load import Loaded
from simulator.figures.explain import Explanation, explain
from simulator.figures.replications import replicate
from simulator.figures.results import Result
from simulator.figures.rows import row_of
from simulator.figures.uncertainty import Row, Source

NOTHING = "nothing"
Progress = Callable[[str, int, int], None]
"""Called with (what is done, draws done, draws in all)."""


def bound(
    loaded: Loaded, result: Result, doubt: Doubt | None, jobs: int = 1, progress: Progress | None = None
) -> tuple[Result, Mapping[Source, Counts]]:
    """The result with what its inputs leave open; and by what is drawn, how often each constraint binds.

    Raises InputError.
    """
    wanted, _ = other_inputs(loaded, result, doubt)
    rows: dict[str, Row] = {}
    found: dict[Source, Counts] = {}
    total = sum(map(len, wanted.values()))
    for source, cases in wanted.items():
        names = []
        for case in cases:
            drawn = Result(case, list(replicate(case, range(case.replications), jobs)))
            rows[case.key()] = row_of(drawn)
            names.append(binding(explain(drawn, jobs)))
            if progress is not None:
                progress("on other inputs", len(rows), total)
        found[source] = counted(names)
    return doubted(loaded, result, doubt, jobs, known=rows), found


def binding(found: Explanation) -> str:
    """The constraint that binds, such as `replicas of encoders`."""
    best = found.binding
    return NOTHING if best is None else f"{best.lever.what} of {best.lever.pool}"


def bound_sentence(found: Explanation, counts: Mapping[Source, Counts]) -> str:
    """Whether the same constraint binds on other inputs."""
    told = counts_text(counts)
    if lasting(binding(found), counts):
        return f"On other inputs it is {told}."
    return f"Which constraint binds depends on the inputs: {told}."
