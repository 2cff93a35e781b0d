"""The human study's statistics: one blinded schedule, and what the answers say, with every source of chance."""
