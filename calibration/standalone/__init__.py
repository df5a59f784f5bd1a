"""Measuring on a machine that has Python 3.10, numpy and torch, and nothing of Headroom but these files."""
