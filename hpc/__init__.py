"""Job arrays for Slurm and LSF: every element runs the same stateless worker."""
