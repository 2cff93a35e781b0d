"""The training loop that all methods share, its engine (device, precision, ranks) and its callbacks."""
