"""Hyper-parameter sweeps: what to search, which worker runs which trial, and the outcome."""
