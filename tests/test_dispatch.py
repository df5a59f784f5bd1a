from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from cases import case, poisson, pool, replay, takes
from hypothesis import given
from hypothesis import strategies as st
from picking import Pool, balancer
from pydantic import ValidationError

from simulator.component import problems
from simulator.dispatch import View
from simulator.dispatch.haproxy import haproxy_ring
from simulator.dispatch.power_of_d import PowerOfD, _PowerOfD
from simulator.dispatch.ring import Ring
from simulator.run.engine import simulate
from simulator.run.recording import SLOT
from simulator.scenario import Pool as ScenarioPool
from simulator.service import Exponential

TIED_FIRST, TIED_LAST = "equally loaded: the first drawn", "equally loaded: the last drawn"


def test_round_robin_goes_round() -> None:
    assert Pool(balancer("round_robin"), 3).send(5) == [0, 1, 2, 0, 1]


def test_weighted_round_robin_spreads_the_heavy_evenly() -> None:
    """5, 1, 1: turns grow by the weights, the largest wins and falls by 7: 0 0 1 0 2 0 0, and again."""
    assert Pool(balancer("weighted_round_robin", weights=[5, 1, 1]), 3).send(14) == [0, 0, 1, 0, 2, 0, 0] * 2


def test_weights_repeat_over_the_slots() -> None:
    assert sorted(Pool(balancer("weighted_round_robin", weights=[2, 1]), 4).send(6)) == [0, 0, 1, 2, 2, 3]


def test_weighted_random_draws_by_weight() -> None:
    one = Pool(balancer("weighted_random", weights=[3, 1]), 2, [[0.0, 0.7499, 0.75, 0.9999]])
    assert one.send(4) == [0, 0, 1, 1]


def test_power_of_d_draws_different_ones_and_keeps_the_first_of_equals() -> None:
    """0.5 of 4 is place 2; 0.5 of the other 3 is place 1; 0.5 of the other two, 0 and 3, is place 3."""
    one = Pool(balancer("power_of_d", d=3), 4, [[0.5] * 9] * 3)
    one.view.outstanding[:] = [0, 2, 1, 1]
    assert (one.send(), one.why) == ([2], TIED_FIRST)
    assert (one.send(), one.why) == ([3], "the least loaded of those drawn")


def test_power_of_d_makes_do_with_fewer() -> None:
    one = Pool(balancer("power_of_d", d=5), 2, [[0.9] * 9] * 5)
    assert one.send(4) == [1, 0, 1, 0]


@given(st.data(), st.integers(1, 6))
def test_two_of_d_are_the_same_two(data: st.DataObject, replicas: int) -> None:
    unit = st.floats(0, 1, exclude_max=True)
    draws = [data.draw(st.lists(unit, min_size=12, max_size=12)) for _ in range(2)]
    short, general = Pool(balancer("power_of_two"), replicas, draws), Pool(PowerOfD(d=2), replicas, draws)
    general.picker = _PowerOfD(general.view)
    assert short.send(12) == general.send(12)


def test_least_outstanding_takes_the_lowest_of_equals() -> None:
    one = Pool(balancer("least_outstanding"), 3)
    assert one.send(4) == [0, 1, 2, 0]
    one.finish(2, 1)
    assert one.send(3) == [1, 2, 1]


def test_least_tokens_counts_prompts_and_what_answers_have_on_average() -> None:
    """100 + 50 go to the first, 10 + 50 twice to the second (120 < 150), the next to the second until it has 180."""
    one = Pool(balancer("least_tokens"), 2)
    one.view.usual_answer = lambda: 50
    one.view.tokens = lambda request: (100, 1) if request == 0 else (10, 400)
    one.picker = balancer("least_tokens").start(one.view)
    assert one.send(5) == [0, 1, 1, 1, 0]
    assert one.why == "fewest tokens outstanding"
    one.finish(0)  # 60 are left there, 180 at the other
    assert one.send(3) == [0, 0, 0]


def test_the_router_of_vllm_counts_what_it_has_sent_since_as_waiting() -> None:
    """Told: 4 x 1 + 1 and 4 running. The second has 4, then 8; the first 5, then 9; among equals it moves on."""
    choice = balancer("vllm_router")
    one = Pool(choice, 2)
    seen = View([], [0, 1], [2, 4])
    seen.waiting = [1, 0].__getitem__
    one.picker = choice.start(seen)
    assert one.send(3) == [1, 0, 1]
    seen.outstanding[:], seen.waiting, seen.read = [3, 3], [0, 0].__getitem__, 100
    one.picker.regrouped()
    assert one.send(4) == [1, 0, 1, 0]  # the fourth request begins at slot 1


def test_join_shortest_queue_looks_at_the_waiting_only() -> None:
    """Outstanding 1, 0, 2: nobody waits at the first two."""
    for ties, expected in (("fewest_outstanding", 1), ("lowest_slot", 0)):
        one = Pool(balancer("join_shortest_queue", ties=ties), 3)
        one.view.outstanding[:] = [1, 0, 2]
        one.picker.regrouped()
        assert (one.send(), one.why) == ([expected], "fewest waiting")


def test_without_batches_fewest_waiting_then_fewest_outstanding_is_fewest_outstanding() -> None:
    law = Exponential.model_validate({"per_request": "1s"})
    queue, all_ = (
        simulate(case(poisson(3.5), pool(law, 4, balancer(kind)), seconds=300), 0)
        for kind in ("join_shortest_queue", "least_outstanding")
    )
    assert np.array_equal(queue.latency, all_.latency)


def test_join_shortest_queue_draws_among_equals() -> None:
    found = set()
    for uniform in (0.0, 0.49, 0.51, 0.99):
        one = Pool(balancer("join_shortest_queue", ties="random"), 3, [[uniform]])
        one.view.outstanding[:] = [1, 0, 2]
        one.picker.regrouped()
        found.add((uniform < 0.5, *one.send()))
    assert len(found) == 2
    assert {slot for _, slot in found} == {0, 1}


def test_join_shortest_queue_hears_of_batches_that_begin() -> None:
    """Slot 0 serves from 0 s, the second request waits behind it; slot 1 serves from 2 s, the fourth waits there.

    At 4 s the second is taken into service, so at 4.5 s slot 0 has nobody waiting: the fifth goes there.
    """
    one = pool(takes("0s", "4s"), 2, balancer("join_shortest_queue", ties="lowest_slot"))
    run = simulate(case(replay(0, 1, 2, 3, 4.5), one, seconds=5), 0)
    assert slots(run) == [0, 0, 1, 1, 0]


def slots(run: Any) -> list[int]:
    found: list[int] = run.pools[0].batches[run.visits[0].batch_of, SLOT].tolist()
    return found


def test_haproxy_roundrobin_goes_on_where_it_was_when_others_go() -> None:
    one = Pool(balancer("haproxy_roundrobin"), 4)
    assert one.send(2) == [0, 1]
    one.go(0)
    assert one.send(3) == [2, 3, 1]
    one.come(0)
    assert one.send(3) == [2, 3, 0]


def test_haproxy_leastconn_takes_who_has_been_equal_for_longest() -> None:
    one = Pool(balancer("haproxy_leastconn"), 3)
    assert one.send(3) == [0, 1, 2]
    one.finish(1, 0)  # slot 1 is put behind its equals first, then slot 0
    assert one.send(2) == [1, 0]
    assert one.send(3) == [2, 1, 0]


def test_haproxy_leastconn_weighs() -> None:
    """Weights 2 and 1: (count + 1) x 256 / weight is 256, 512, 384, 512 when sent; at 512 slot 1 was there first."""
    assert Pool(balancer("haproxy_leastconn", weights=[2, 1]), 2).send(5) == [0, 1, 0, 0, 1]


@pytest.mark.parametrize(
    "shares",
    [
        [0.431, 0.569],
        [0.351, 0.295, 0.354],
        [0.289, 0.185, 0.243, 0.283],
        [0.139, 0.117, 0.114, 0.125, 0.145, 0.150, 0.107, 0.102],
    ],
)
def test_haproxy_random_has_the_shares_of_the_real_ring(shares: list[float]) -> None:
    """As measured on HAProxy 2.6 with servers 1 ... N of weight 1."""
    assert arc_lengths(len(shares), 1) == pytest.approx(shares, abs=5.1e-4)


def test_haproxy_random_is_nearly_even_with_large_weights() -> None:
    assert arc_lengths(2, 100) == pytest.approx([0.5, 0.5], rel=0.03)


def arc_lengths(servers: int, weight: int) -> list[float]:
    ring = haproxy_ring(list(range(servers)), (weight,))
    ends = np.array(ring.bounds)
    lengths = np.diff(ends, prepend=ends[-1] - 2**32)
    found: list[float] = (np.bincount(ring.owners, weights=lengths) / 2**32).tolist()
    return found


def test_haproxy_random_draws_on_the_ring_and_keeps_the_last_of_equals() -> None:
    ring = haproxy_ring([0, 1], (1,))
    inside = [ring.bounds[ring.owners.index(slot)] / 2**32 for slot in (0, 1)]
    zero, other = inside
    one = Pool(balancer("haproxy_random"), 2, [[zero, zero, other, zero], [other, other, zero, zero]])
    assert (one.send(), one.why) == ([1], TIED_LAST)
    assert (one.send(), one.why) == ([0], "the least loaded of those drawn")
    assert (one.send(), one.why) == ([0], TIED_LAST)
    assert one.send() == [0]  # the same twice, though it is the busier one


def test_haproxy_random_weighs() -> None:
    """Two on weight 2 are as many as one on weight 1: the last drawn of the two."""
    ring = haproxy_ring([0, 1], (2, 1))
    zero, other = (ring.bounds[ring.owners.index(slot)] / 2**32 for slot in (0, 1))
    one = Pool(balancer("haproxy_random", weights=[2, 1]), 2, [[zero, other], [other, zero]])
    one.view.outstanding[:] = [2, 1]
    assert (one.send(), one.why) == ([1], TIED_LAST)
    assert (one.send(), one.why) == ([0], "the least loaded of those drawn")


def test_the_nearest_point_owns_a_hash_and_the_one_before_on_a_tie() -> None:
    """Points 10 (slot 7), 20 (slot 8) and 80 (slot 9) on a circle of 100: arcs end at 15, 50 and 95."""
    points, owners = np.array([20, 80, 10], dtype=np.uint64), np.array([8, 9, 7])
    nearest, following = (Ring(points, owners, 100, nearest=mode) for mode in (True, False))
    asked = [0, 10, 15, 16, 50, 51, 95, 96, 99]
    assert [nearest.owners[nearest.arc(one)] for one in asked] == [7, 7, 7, 8, 8, 9, 9, 7, 7]
    assert [following.owners[following.arc(one)] for one in asked] == [7, 7, 8, 8, 9, 9, 7, 7, 7]
    across = Ring(np.array([60, 90], dtype=np.uint64), np.array([1, 2]), 100, nearest=True)  # 90 owns up to 125
    assert [across.owners[across.arc(one)] for one in (0, 25, 26, 75, 76, 99)] == [2, 2, 1, 1, 2, 2]
    assert following.arcs(np.array(asked, dtype=np.uint64)) == [following.arc(one) for one in asked]


def test_nginx_round_robin_keeps_turns_in_each_process() -> None:
    one = Pool(balancer("nginx_round_robin", worker_processes=2), 3, [[0.0, 0.9, 0.0, 0.9, 0.0]])
    assert one.send(5) == [0, 0, 1, 1, 2]


def test_nginx_least_conn_takes_turns_among_the_tied_only() -> None:
    """Worked by hand, the turns of slots 0, 1 and 2 before the winner's falls.

    1: all tied, 1 1 1 -> slot 0 falls by 3. 2: two tied, 2 2 -> slot 1 falls by 2. 3: slot 2 alone, 3 - 1 = 2.
    4: all tied, -1 1 3 -> slot 2. 5: slots 0 and 1, 0 2 -> slot 1. 6: slot 0 alone.
    """
    one = Pool(balancer("nginx_least_conn"), 3)
    assert one.send(1) == [0]
    assert one.why == "equally loaded: the next in turn"
    assert one.send(5) == [1, 2, 2, 1, 0]
    assert one.why == "fewest outstanding"


def test_nginx_least_conn_weighs() -> None:
    """Connections per weight 2 and 1: 0 = 0, 1/2 > 0, 1/2 < 1, 2/2 = 1 where slot 1 is ahead by 2 to 1, 2/2 < 2."""
    assert Pool(balancer("nginx_least_conn", weights=[2, 1]), 2).send(5) == [0, 1, 0, 1, 0]


def test_nginx_least_conn_counts_in_each_process() -> None:
    one = Pool(balancer("nginx_least_conn", worker_processes=2), 2, [[0.0, 0.0, 0.0, 0.9, 0.0]])
    assert one.send(3) == [0, 1, 1]  # turns -1 1, then 1 - 1 + 1 = 1, and 0 2 when tied again
    assert one.send(1) == [0]  # the other process knows nothing of these
    one.finish(0)
    assert one.send(1) == [0]


def test_nginx_random_two_prefers_the_second_of_equals() -> None:
    one = Pool(balancer("nginx_random_two"), 3, [[0.1] * 9, [0.1] * 9])  # first slot 0, then slot 1 of the others
    assert (one.send(), one.why) == ([1], TIED_LAST)
    assert (one.send(), one.why) == ([0], "the least loaded of those drawn")
    assert (one.send(), one.why) == ([1], TIED_LAST)


def test_nginx_random_two_takes_turns_after_20_tries_in_vain() -> None:
    """One of two is drawn 20 times again with probability 2^-20 = 0.95e-6; 31 of 32 with (31/32)^20 = 0.53."""
    one = Pool(balancer("nginx_random_two"), 2, [[0.9] * 2, [0.9e-6, 1.0e-6]])
    assert (one.send(), one.why) == ([0], "the next in turn")
    assert (one.send(), one.why) == ([1], "the least loaded of those drawn")
    heavy = Pool(balancer("nginx_random_two", weights=[31, 1]), 2, [[0.5] * 2, [0.52, 0.54]])
    assert heavy.send(2) == [0, 1]


def test_nginx_random_two_draws_by_weight() -> None:
    """P(first i, then j) = w_i / W x w_j / (W - w_i) but for the tries in vain; a tie shows the second."""
    weights, side = [3, 2, 1], 600
    middle = (np.arange(side) + 0.5) / side
    found = np.zeros(3)
    choice = balancer("nginx_random_two", weights=weights)
    for first, weight in zip((0.25, 0.7, 0.95), weights, strict=True):  # in slot 0, 1 and 2
        for second in middle:
            found[Pool(choice, 3, [[first], [second]]).send()[0]] += weight / 6 / side
    exact = [2 / 6 * 3 / 4 + 1 / 6 * 3 / 5, 3 / 6 * 2 / 3 + 1 / 6 * 2 / 5, 3 / 6 * 1 / 3 + 2 / 6 * 1 / 4]
    assert found == pytest.approx(exact, abs=3 / side)


def test_envoy_keeps_the_first_of_equals_and_may_draw_one_twice() -> None:
    one = Pool(balancer("envoy_least_request"), 2, [[0.0, 0.0, 0.9, 0.0], [0.9, 0.0, 0.9, 0.9]])
    assert (one.send(), one.why) == ([0], TIED_FIRST)
    assert (one.send(), one.why) == ([0], TIED_FIRST)  # twice the busier one
    assert one.send() == [1]
    assert (one.send(), one.why) == ([1], "the least loaded of those drawn")


def test_envoy_full_scan_draws_among_all_with_the_fewest() -> None:
    found = []
    for uniform in (0.1, 0.4, 0.9):
        one = Pool(balancer("envoy_least_request", selection_method="full_scan"), 4, [[uniform]])
        one.view.outstanding[:] = [1, 0, 0, 0]
        one.picker.regrouped()
        found += one.send()
    assert sorted(found) == [1, 2, 3]


def test_locality_spills_over_when_its_zone_is_too_busy() -> None:
    """Zones 0 (slots 0 and 2) and 1 (slot 1); more than one outstanding per replica is too busy."""
    one = Pool(balancer("locality", spill_over=1), 3, [[0.9] * 3 + [0.0] * 3 + [0.9] * 9], zones=2)
    assert one.send(2) == [1, 1]  # one outstanding is not too busy yet
    assert (one.send(), one.why) == ([0], "its zone was too busy or empty: fewest outstanding of all")
    assert (one.send(), one.why) == ([2], "fewest outstanding in its zone")
    one.go(1)
    assert one.send(2) == [0, 2]
    assert one.send() == [0]  # nobody is left in zone 1


def test_locality_knows_machines_that_fell_back_to_another_zone() -> None:
    # All requests are of the pool's one zone; the second replica stands in another, and the first goes.
    one = Pool(balancer("locality"), 2)
    one.view.zone = lambda slot: slot
    one.picker.regrouped()
    assert one.send(2) == [0, 0]
    one.view.ready.remove(0)
    one.picker.regrouped()
    assert one.send() == [1]


def test_a_session_stays_where_it_began() -> None:
    keys = [0.0, 0.3, 0.6, 0.9, 0.0, 0.3, 0.6]
    one = Pool(balancer("session_affinity", keys=4), 3, [keys * 3])
    assert one.send(4) == [0, 1, 2, 0]
    assert one.why == "a session or connection was opened"
    assert one.send(3) == [0, 1, 2]
    assert one.why == "its session or connection is pinned there"
    one.go(1)
    assert one.send(2) == [0, 2]  # session 1 begins anew where fewest are: slot 2 has two, slot 0 has four


def test_a_session_does_not_follow_the_slot_into_its_next_life() -> None:
    one = Pool(balancer("session_affinity", keys=2), 2, [[0.9, 0.0, 0.0, 0.9]])
    assert one.send(2) == [0, 1]
    one.go(1)
    one.finish(1)
    one.view.outstanding[0] = 0
    one.come(1)
    assert one.send() == [0]
    assert one.why == "a session or connection was opened"


def test_a_bounded_session_spills_and_stays_pinned() -> None:
    """With 1.5 times the mean of two replicas: ceil(1.5 x m / 2) is 1, 2, 3, 3: the fourth finds 3 = 3, full."""
    one = Pool(balancer("session_affinity", keys=1, bounded_load=1.5), 2)
    assert one.send(3) == [0, 0, 0]
    assert (one.send(), one.why) == ([1], "the owner of its key was full: the next with room")
    one.finish(0)
    assert (one.send(), one.why) == ([0], "its session or connection is pinned there")


def test_consistent_hash_moves_only_the_keys_of_the_one_that_goes() -> None:
    keys = ((np.arange(500) + 0.5) / 500).tolist()
    one = Pool(balancer("consistent_hash", keys=500), 8, [keys * 3])
    before = one.send(500)
    assert min(np.bincount(before, minlength=8)) > 20
    one.go(3)
    without = one.send(500)
    assert all(new == old for old, new in zip(before, without, strict=True) if old != 3)
    assert 3 not in without
    one.come(3)
    assert one.send(500) == before


def test_a_bounded_ring_never_exceeds_its_bound_and_passes_on_to_the_next() -> None:
    plain, bounded = (Pool(balancer("consistent_hash", keys=1, **more), 5) for more in ({}, {"bounded_load": 1.25}))
    owner = plain.send()[0]
    order: list[int] = []
    for sent in range(1, 200):
        slot = bounded.send()[0]
        order += [slot] if slot not in order else []
        loads = bounded.view.outstanding
        assert max(loads) <= -(-125 * sent // 500)
        assert all(loads[one] >= loads[two] for one, two in pairwise(order))
    assert order[0] == owner
    bounded.finish(next(request for request, slot in bounded.at.items() if slot == owner))
    assert bounded.send() == [owner]


def test_popular_keys_follow_zipf() -> None:
    """Shares 1, 1/2, 1/3 of their sum 11/6: bounds at 6/11 and 9/11."""
    key = balancer("consistent_hash", keys=3, skew=1.0).key()  # type: ignore[attr-defined]
    assert [key(u) for u in (0.0, 0.5454, 0.5455, 0.8181, 0.8182, 0.999999)] == [0, 0, 1, 1, 2, 2]
    even = balancer("consistent_hash", keys=4).key()  # type: ignore[attr-defined]
    assert [even(u) for u in (0.0, 0.25, 0.999999)] == [0, 1, 3]


def test_a_connection_stays_where_it_opened() -> None:
    """Two connections; the first request of each opens it, to place int(u x replicas)."""
    which, where = [0.0, 0.9, 0.0, 0.9, 0.0, 0.9], [0.1, 0.6, 0.9, 0.1, 0.9, 0.9]
    one = Pool(balancer("kube_proxy_iptables", connections=2), 2, [which, where])
    assert one.send(3) == [0, 1, 0]
    one.come(2)
    assert one.send(1) == [1]  # the new one receives nothing
    one.go(0)
    assert one.send(2) == [2, 1]  # but for connections that open again


def test_connections_open_again_when_their_time_is_over() -> None:
    one = Pool(balancer("kube_proxy_iptables", connections=1, reconnect_every="1s"), 2, [[0.0] * 3, [0.1, 0.9, 0.9]])
    for now, expected in ((0, 0), (10**9 - 1, 0), (10**9, 1)):
        one.view.now = now
        assert one.send() == [expected]


def test_last_in_first_out_uses_as_many_connections_as_are_busy() -> None:
    opens = [0.1, 0.6, 0.9, 0.9, 0.9]
    one = Pool(balancer("kube_proxy_iptables", connections=2, reuse="lifo"), 2, [[0.9] * 5, opens])
    assert one.send() == [0]
    one.finish(0)
    assert one.send() == [0]  # the same connection again
    assert one.send() == [1]  # it is busy: the second opens
    one.finish(1)
    one.finish(2)
    assert one.send() == [1]  # the one used last
    assert one.send() == [0]


def test_ipvs_opens_in_turn_on_each_node() -> None:
    """Connections 0 and 2 belong to node 0, 1 and 3 to node 1."""
    which = [0.0, 0.3, 0.6, 0.9, 0.0]
    assert Pool(balancer("kube_proxy_ipvs", connections=4), 3, [which, which]).send(5) == [0, 1, 2, 0, 0]
    assert Pool(balancer("kube_proxy_ipvs", connections=4, nodes=2), 3, [which, which]).send(5) == [0, 0, 1, 1, 0]


def test_ipvs_opens_to_the_least_connected() -> None:
    """lc counts connections, not requests; a connection that opens again no longer counts where it was."""
    which = [0.0, 0.0, 0.3, 0.6, 0.9, 0.0]
    fields = {"connections": 4, "scheduler": "lc", "reconnect_every": "1s"}
    one = Pool(balancer("kube_proxy_ipvs", **fields), 2, [which, which])
    assert one.send(4) == [0, 0, 1, 0]
    one.go(0)
    one.come(0)
    assert one.send() == [0]  # no connection to it is left
    one.view.now = 10**9
    assert one.send() == [0]


def test_connections_spread_unevenly_and_stay_so() -> None:
    """C connections over N replicas: the variance of a share over its squared mean is (N - 1) / C, and a replica gets
    none with probability (1 - 1/N)^C (the multinomial distribution)."""
    connections, replicas, trials = 20, 5, 4000
    generator = np.random.default_rng(3)
    choice = balancer("kube_proxy_iptables", connections=connections)
    which = ((np.arange(connections) + 0.5) / connections).tolist()
    opens = generator.random((trials, connections)).tolist()
    sent = [Pool(choice, replicas, [which, one]).send(connections) for one in opens]
    shares = np.array([np.bincount(slots, minlength=replicas) for slots in sent])
    spread = ((shares / (connections / replicas) - 1) ** 2).mean(axis=1)
    none = (shares == 0).mean(axis=1)
    for found, exact in ((spread, (replicas - 1) / connections), (none, (1 - 1 / replicas) ** connections)):
        error = found.std(ddof=1) / trials**0.5
        assert error < 0.1 * exact
        assert abs(found.mean() - exact) < 4 * error


def test_readings_are_the_same_until_the_next_and_late_by_the_delay() -> None:
    """Arrivals each 100 ms, long work, readings at 1 s and 2 s.

    Until the first reading all seem empty: slot 0. At 1 s slot 0 has 10 (arrivals at 0 ... 0.9 s): slot 1. With a delay
    of 250 ms the 13th request, at 1.2 s, still goes by the old one.
    """
    arrivals = [number / 10 for number in range(18)]
    for delay, switch in (("0ms", 10), ("250ms", 13)):
        one = pool(takes("0s", "9s"), 2, balancer("least_outstanding", scrape="1s", delay=delay))
        assert slots(simulate(case(replay(*arrivals), one, seconds=1.8), 0)) == [0] * switch + [1] * (18 - switch)


def test_a_delay_longer_than_the_period_keeps_readings_apart() -> None:
    """Read each 100 ms, known 250 ms later: what is known at 0.35 s was read at 0.1 s, before the 3rd arrival."""
    one = pool(takes("0s", "9s"), 2, balancer("least_outstanding", scrape="100ms", delay="250ms"))
    arrivals = [0, 0.05, 0.15, 0.34, 0.36]
    assert slots(simulate(case(replay(*arrivals), one, seconds=1), 0)) == [0, 0, 0, 0, 1]


def test_queues_are_read_late_too() -> None:
    """At 1 s nobody waits but behind slot 0 (work of 9 s, arrivals at 0 and 0.5 s)."""
    one = pool(takes("0s", "9s"), 2, balancer("join_shortest_queue", scrape="1s"))
    assert slots(simulate(case(replay(0, 0.5, 1.1, 1.2), one, seconds=2), 0)) == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        ({"kind": "least_outstanding", "delay": "1s"}, "balancer", "delay needs scrape"),
        ({"kind": "weighted_random", "weights": []}, "balancer.weights", "at least 1 item"),
        ({"kind": "nginx_least_conn", "weights": [1, 0]}, "balancer.weights.1", "0: input should be greater"),
        ({"kind": "haproxy_random", "draws": 0}, "balancer.draws", "0: input should be greater"),
        ({"kind": "power_of_d", "d": 65}, "balancer.d", "65: input should be less than or equal to 64"),
        ({"kind": "consistent_hash", "bounded_load": 1.0}, "balancer.bounded_load", "1.0: input should be greater"),
        ({"kind": "envoy_least_request", "selection_method": "all"}, "balancer.selection_method", "'n_choices'"),
        ({"kind": "haproxy_leastconn", "scrape": "1s"}, "balancer.scrape", "unknown field"),
        ({"kind": "kube_proxy_iptables", "reconnect_every": 5}, "balancer.reconnect_every", "5 has no unit"),
        ("haproxy_leastcon", "balancer.kind", "did you mean 'haproxy_leastconn'"),
    ],
)
def test_bad_input_is_named(fields: Any, path: str, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ScenarioPool.model_validate({"instance": "x", "balancer": fields})
    where, what = problems(caught.value)[0]
    assert where == path
    assert words in what


def test_a_balancer_is_written_back_as_it_is_read() -> None:
    fields = {"kind": "nginx_least_conn", "weights": [2, 1], "worker_processes": 4}
    read = ScenarioPool.model_validate({"instance": "x", "balancer": fields})
    assert read.model_dump(mode="json")["balancer"] == fields
    assert ScenarioPool.model_validate(read.model_dump(mode="json")) == read


def test_envoy_lets_a_new_replica_start_slowly() -> None:
    """Slot 1 is 100 ms old in a window of 1 s: due at 10 and 20, slot 0 at 1, 2, 3. Of equals who waited longer."""
    choice = balancer("envoy_least_request", slow_start_window="1s")
    one = Pool(choice, 2)
    one.view.since = lambda slot: 900_000_000 if slot else -(10**18)
    one.view.now = 1_000_000_000
    one.picker.regrouped()
    found = []
    for request in range(20):
        found += one.send()
        one.finish(request)
    assert found == [0] * 9 + [1] + [0] * 10
    found = one.send()
    assert found == [1]
    assert one.why == "the next in turn"


def test_envoy_counts_active_requests_in_slow_start_when_they_are_taken() -> None:
    """Half of the window, and all requests stay: slot 0 is due at 1, then 1, 2, 3 ... later: 2, 4, 7, 11; slot 1 at 2,
    then 2, 4, 6 ... later: 4, 8, 14. Of equals who waited longer.
    """
    one = Pool(balancer("envoy_least_request", slow_start_window="1s"), 2)
    one.view.since = lambda slot: 0 if slot else -(10**18)
    one.view.now = 500_000_000
    one.picker.regrouped()
    assert one.send(8) == [0, 1, 0, 1, 0, 0, 1, 0]
    one.view.now = 1_000_000_000  # out of the window: draws of 0.0, both of slot 0
    assert (one.send(), one.why) == ([0], "equally loaded: the first drawn")


def test_envoy_gives_at_least_the_least_weight() -> None:
    one = Pool(balancer("envoy_least_request", slow_start_window="1000s", min_weight="25%"), 2)
    one.view.since = lambda slot: 10**9 if slot else -(10**18)
    one.view.now = 10**9
    one.picker.regrouped()
    found = []
    for request in range(8):
        found += one.send()
        one.finish(request)
    assert found == [0, 0, 0, 1, 0, 0, 0, 0]  # due at 4 and 8 against every 1
