"""Trace files: arrival stamps and sizes of real load, in the forms in which people publish them."""

from scenarios.traces.reading import FORMATS, binned_share, read_trace

__all__ = ["FORMATS", "binned_share", "read_trace"]
