"""Step times of LLM engines and the room of their KV cache: from tables of others, a few figures, or arithmetic."""
