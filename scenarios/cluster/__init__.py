"""A cluster as its manifests describe it: read into the skeleton of a scenario."""

from scenarios.cluster.scaling import Source
from scenarios.cluster.skeleton import Skeleton, skeleton

__all__ = ["Skeleton", "Source", "skeleton"]
