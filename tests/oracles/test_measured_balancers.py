"""HAProxy's rules against a real HAProxy 2.6 in front of two servers: decision by decision, on its own loads.

The log holds when the client sent a request and had its answer. HAProxy saw the end of a request a little earlier, so
where ends and arrivals lie within a fraction of a millisecond their order is uncertain.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from picking import Pool, balancer

RETURN_US = 300  # from HAProxy's view of the end to the client's


def decisions(folder: Path, run: str, one: Pool) -> Iterator[tuple[int, int]]:
    """(request, replica) in the order sent, with the pool brought to the real state each time."""
    with gzip.open(folder / "measured" / "servers" / f"mosec2_haproxy_emul__{run}.csv.gz", "rt") as file:
        rows = [(int(row["t_send_us"]), int(row["t_done_us"]), int(row["replica"])) for row in csv.DictReader(file)]
    events = [(sent, 1, number) for number, (sent, _, _) in enumerate(rows)]
    events += [(done - RETURN_US, 0, number) for number, (_, done, _) in enumerate(rows)]
    for _, arrives, number in sorted(events):
        if arrives:
            slot = rows[number][2]
            yield number, slot
            one.at[number] = slot
            one.view.outstanding[slot] += 1
            one.picker.changed(slot)
        elif number in one.at:
            one.finish(number)


@pytest.mark.parametrize("run", ["rr50", "rr70"])
def test_roundrobin_decides_as_the_real_one(shared_data: Path, run: str) -> None:
    one = Pool(balancer("haproxy_roundrobin"), 2)
    found = [(one.picker.pick(number)[0], slot) for number, slot in decisions(shared_data, run, one)]
    first = found[0][1]
    assert len(found) > 10_000
    assert all((picked + first) % 2 == slot for picked, slot in found)


def test_leastconn_decides_as_the_real_one(shared_data: Path) -> None:
    """More than 99 of 100 decisions, ties included; taking the lowest slot on a tie gets one in six wrong."""
    agreed = {}
    for kind in ("haproxy_leastconn", "least_outstanding"):
        one = Pool(balancer(kind), 2)
        found = [one.picker.pick(number)[0] == slot for number, slot in decisions(shared_data, "lc70", one)]
        agreed[kind] = sum(found) / len(found)
    assert agreed["haproxy_leastconn"] > 0.99
    assert agreed["least_outstanding"] < 0.85


def test_random_decides_as_often_as_the_real_one(shared_data: Path) -> None:
    """Server 1 owns 0.431 of the ring. On a tie the last draw counts; otherwise the busier must be drawn twice."""
    share = 0.431
    exact = {-1: 1 - (1 - share) ** 2, 0: share, 1: share**2}  # by the sign of (first - second) outstanding
    one = Pool(balancer("haproxy_random"), 2)
    found: dict[int, list[bool]] = {-1: [], 0: [], 1: []}
    for _, slot in decisions(shared_data, "rnd2_70", one):
        first, second = one.view.outstanding
        found[(first > second) - (first < second)].append(slot == 0)
    for sign, picks in found.items():
        error = (exact[sign] * (1 - exact[sign]) / len(picks)) ** 0.5
        assert error < 0.01
        assert abs(sum(picks) / len(picks) - exact[sign]) < 4 * error
