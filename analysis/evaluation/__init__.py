"""Colourised photographs against the truth: of a split by a colouriser, or of two folders."""
