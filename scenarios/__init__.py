"""Scenarios: reading and resolving them, strategies, comparison, charts and reports."""
