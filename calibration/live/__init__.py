"""Real servers under real load on this machine, held against the simulator: what `headroom calibrate validate` does."""
