"""The path of a photograph from a file to a batch."""
