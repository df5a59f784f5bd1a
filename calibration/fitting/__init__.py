"""From samples to a profile: pure functions on arrays, and the recipe that puts them together."""
