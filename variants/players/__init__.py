"""A network with its optimiser, and the trained generator that users get."""
