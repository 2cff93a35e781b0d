"""Crash-safe files, locks between processes, and checks of what was written."""
