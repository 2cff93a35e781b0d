"""What players minimise: against each other, and towards the true photograph."""
