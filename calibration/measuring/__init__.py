"""Timing a subject over a grid, and what the host did meanwhile."""
