"""A study: every arm and seed under one budget, what is scored beside them, and its report."""
