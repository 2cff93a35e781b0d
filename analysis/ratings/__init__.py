"""The human study: one blinded schedule, sheets to fill in, and tables of the answers."""
