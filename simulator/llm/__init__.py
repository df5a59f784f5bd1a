"""Iteration-level scheduling of LLM requests: blocks of the KV cache, the plan of each step, and how long it takes.

A state machine that knows no clock and no pool: `simulator.run` leads requests to it.
"""
