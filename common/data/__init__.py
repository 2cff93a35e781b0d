"""A photograph's way: from a file to a batch."""
