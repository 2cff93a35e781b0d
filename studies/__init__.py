"""What is run: single runs, sweeps and comparisons."""
