"""Hyper-parameter sweeps: what to search, who runs which trial, and what came out."""
