"""When attempts are over, as far as that is known while the run goes on."""

from __future__ import annotations

from functools import reduce

import numpy as np

from simulator.case import Case
from simulator.run.stamps import Stamps
from simulator.run.tape import Tape
from simulator.streams import Integers


def over(case: Case, tape: Tape, stamps: Stamps, first: int, end: int) -> int | None:
    """When the last of the attempts of these rows was over; None while there are visits whose end is not known."""
    workload, stage = np.array(tape.workload[first:end]), np.array(tape.stage[first:end])
    firsts = np.flatnonzero(tape.begins(workload, stage))
    unserved = (stamps.refused[first:end] | stamps.dropped[first:end]) > 0
    past, sent = tape.passes_by(slice(first, end)), np.array(tape.arrived[first:end])
    lost, known = stamps.lost[first:end] > 0, (stamps.end[first:end] > 0) | unserved | past
    ended = ~lost & ~unserved
    latest = int(stamps.lost[first:end].max(initial=0))
    for stages in dict.fromkeys(item.stages for item in case.workloads):
        own = [item.stages == stages for item in case.workloads]
        starts = firsts[np.array(own)[workload[firsts]]]
        ends: dict[int, Integers] = {}
        for place, number in enumerate(stages):
            comes = reduce(np.logical_and, (ends[before] > 0 for before in case.stages[number].after), starts >= 0)
            left = stamps.left(case, number, first + starts + place)
            left = np.where(past[starts + place], np.maximum(sent[starts], 1), left)
            ends[number] = np.where(comes & ended[starts + place], left, 0)
            if (comes & ~known[starts + place]).any():
                return None
            latest = max(latest, int(ends[number].max(initial=0)))
    return latest + max(item.reply for item in case.workloads)
