"""Ray Serve's own autoscaler: requests in flight, averaged, held back by delays; see docs/ray-serve.md."""

from simulator.autoscaling.ray.controller import Ray, State

__all__ = ["Ray", "State"]
