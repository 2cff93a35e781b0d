"""The verbs of the front door, by room: each is a few lines that call the suite and say what came of it."""
