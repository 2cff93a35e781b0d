"""Speed and memory of the hot paths, against plain references with the same mathematics, in alternation."""
