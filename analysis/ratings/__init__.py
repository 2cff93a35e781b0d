"""The human study: one blinded schedule, sheets to fill in, tables from the answers."""
