"""The measurements, one file for each hot path."""
