"""Metrics of single colourised photographs, and of sets of them."""
