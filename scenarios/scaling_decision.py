"""One decision of an autoscaler in a run: that in force at a moment, with what it saw and its arithmetic."""

from __future__ import annotations

import re
from typing import Any

from scenarios.reports import spread
from scenarios.scaling_targets import clock
from scenarios.sheet import Sheet
from simulator.arrivals import Diurnal
from simulator.case import Case
from simulator.errors import InputError
from simulator.figures.results import Result
from simulator.figures.statistics import Estimate
from simulator.figures.timeline import held_timeline, latency_timeline, scaling_timeline
from simulator.quantities import SECOND, format_duration, parse_duration
from simulator.run.recording import ScalingRecord
