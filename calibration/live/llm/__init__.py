"""A real LLM engine on this machine, and the simulator held against it."""
