"""A network with its optimiser, and a trained generator as users get it."""
