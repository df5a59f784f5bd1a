"""What traces tell of the beginnings of prompts, by value: the hashes of their blocks, and their sessions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from simulator.arrivals import Process, Replay, Trace
from simulator.errors import InputError
from simulator.hashed import Hashed
from simulator.llm.service import OUTPUT, PROMPT
from simulator.sizes import ReplayedSizes, SizeLaw
from simulator.sources import Sources
from simulator.streams import Integers
from simulator.talks import Talks
from simulator.workload import Workload


def hashes(workload: Workload, arrivals: Process, sizes: Mapping[str, SizeLaw], sources: Sources) -> Hashed | None:
    """What the trace of a workload tells of the blocks of its prompts, where they are asked for. Raises InputError."""
    given, prompts = workload.arrivals, workload.prompts
    if prompts is None or prompts.hashes is None:
        return None
    if not isinstance(given, Trace) or not isinstance(arrivals, Replay):
        raise InputError(
            "only a trace tells hashes", path="prompts.hashes", fix="set arrivals to a trace, or remove it"
        )
    told = given.read(sources)
    if told.hashes is None:
        raise InputError("the trace tells no hash_ids", path="prompts.hashes", fix="remove it, or name another trace")
    prompt = sizes.get(PROMPT)
    if not isinstance(prompt, ReplayedSizes):
        raise InputError(
            f"hashes are of the very prompts of the trace, and {PROMPT} is not",
            path="prompts.hashes",
            fix=f"write {PROMPT}: {{kind: joint, column: {PROMPT}}} in the sizes",
        )
    return Hashed.of(told.hashes, prompt.values, prompts.hashes, arrivals)


def talks(workload: Workload, arrivals: Process, sizes: Mapping[str, SizeLaw], sources: Sources) -> Talks | None:
    """The sessions that the trace of a workload tells, where they are asked for. Raises InputError."""
    given, prompts = workload.arrivals, workload.prompts
    if not isinstance(given, Trace) or given.session is None or not isinstance(arrivals, Replay):
        return None
    found = given.read(sources).sessions
    assert found is not None
    if prompts is None or not prompts.history:
        nothing = np.zeros(len(found), dtype=np.int64)
        return Talks.of(found, nothing, nothing, arrivals)
    return Talks.of(found, _replayed(sizes, PROMPT), _replayed(sizes, OUTPUT), arrivals)


def _replayed(sizes: Mapping[str, SizeLaw], name: str) -> Integers:
    law = sizes.get(name)
    if not isinstance(law, ReplayedSizes):
        raise InputError(
            f"a history is of the very prompts and answers of the trace, and {name} is not",
            path="prompts.history",
            fix=f"write {name}: {{kind: joint, column: {name}}} in the sizes",
        )
    values: Integers = law.values
    return values
