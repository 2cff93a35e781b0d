"""Speed and memory of the hot paths (`product`) against plain references with the same mathematics, timed in alternation."""
