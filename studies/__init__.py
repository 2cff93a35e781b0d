"""What users run: the command line, single runs, sweeps, comparisons and benchmarks."""
