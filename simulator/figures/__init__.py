"""What replications say: tallies, statistics, results and their explanation."""
