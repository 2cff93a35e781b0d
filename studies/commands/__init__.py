"""The verbs of the command line, grouped by topic: each is a few lines that call the suite and print the result."""
