"""Statistics with random seeds and random photographs: estimates, intervals, differences, ranks."""
