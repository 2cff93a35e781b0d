"""Seeds and photographs as random: estimates, intervals, differences, ranks."""
