"""Real servers, one module each: started on this machine, set up from a `Setup`, stopped whatever happens."""

from calibration.live.servers.setup import BALANCERS, SERVERS, Setup
from calibration.live.servers.starting import check, serving

__all__ = ["BALANCERS", "SERVERS", "Setup", "check", "serving"]
