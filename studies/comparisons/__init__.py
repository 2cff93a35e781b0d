"""Studies: train every arm and seed under one budget, score baselines and other programs alongside, and write the report."""
