"""The losses: adversarial objectives, and reconstruction losses against the true photograph."""
