"""Balancers: which replica a request goes to, one file for each choice or tight family of choices."""

from simulator.dispatch.base import (
    BEST_SCORE,
    DRAWN,
    FEWEST_TOKENS,
    FEWEST_WAITING,
    IN_TURN,
    LAST_TIED,
    LAUNCHED,
    LEAST_SCORE,
    LEAST_WORK,
    NEXT,
    OPENED,
    OWN_ZONE,
    OWNER,
    PASSED_ON,
    PINNED,
    REASONS,
    RECENT,
    REMEMBERED,
    SHARED,
    SHORTER,
    SHORTEST,
    SPILLED,
    TIED,
    Balancer,
    Chain,
    LoadAware,
    Picker,
    View,
    Weights,
)
from simulator.dispatch.central_queue import (
    CentralQueue,
)
from simulator.dispatch.consistent_hash import (
    ConsistentHash,
)
from simulator.dispatch.drawn import (
    Random,
    WeightedRandom,
)
from simulator.dispatch.endpoint_picker import (
    EndpointPicker,
)
from simulator.dispatch.envoy import (
    EnvoyLeastRequest,
)
from simulator.dispatch.haproxy import (
    HaproxyLeastconn,
    HaproxyRandom,
    HaproxyRoundRobin,
)
from simulator.dispatch.kube_proxy import (
    KubeProxyIptables,
    KubeProxyIpvs,
)
from simulator.dispatch.least import (
    JoinShortestQueue,
    LeastOutstanding,
    LeastWorkLeft,
)
from simulator.dispatch.least_tokens import (
    LeastTokens,
)
from simulator.dispatch.locality import (
    Locality,
)
from simulator.dispatch.nginx import (
    NginxLeastConn,
    NginxRandomTwo,
    NginxRoundRobin,
)
from simulator.dispatch.power_of_d import (
    PowerOfD,
    PowerOfTwo,
)
from simulator.dispatch.session_affinity import (
    SessionAffinity,
)
from simulator.dispatch.sglang_router import (
    SglangRouter,
)
from simulator.dispatch.turns import (
    RoundRobin,
    WeightedRoundRobin,
)
from simulator.dispatch.vllm_router import (
    VllmRouter,
)

__all__ = [
    "BEST_SCORE",
    "DRAWN",
    "FEWEST_TOKENS",
    "FEWEST_WAITING",
    "IN_TURN",
    "LAST_TIED",
    "LAUNCHED",
    "LEAST_SCORE",
    "LEAST_WORK",
    "NEXT",
    "OPENED",
    "OWNER",
    "OWN_ZONE",
    "PASSED_ON",
    "PINNED",
    "REASONS",
    "RECENT",
    "REMEMBERED",
    "SHARED",
    "SHORTER",
    "SHORTEST",
    "SPILLED",
    "TIED",
    "Balancer",
    "CentralQueue",
    "Chain",
    "ConsistentHash",
    "EndpointPicker",
    "EnvoyLeastRequest",
    "HaproxyLeastconn",
    "HaproxyRandom",
    "HaproxyRoundRobin",
    "JoinShortestQueue",
    "KubeProxyIptables",
    "KubeProxyIpvs",
    "LeastOutstanding",
    "LeastTokens",
    "LeastWorkLeft",
    "LoadAware",
    "Locality",
    "NginxLeastConn",
    "NginxRandomTwo",
    "NginxRoundRobin",
    "Picker",
    "PowerOfD",
    "PowerOfTwo",
    "Random",
    "RoundRobin",
    "SessionAffinity",
    "SglangRouter",
    "View",
    "VllmRouter",
    "WeightedRandom",
    "WeightedRoundRobin",
    "Weights",
]
