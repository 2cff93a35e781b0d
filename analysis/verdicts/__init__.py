"""The answer of a study's runs to its question, and how many more runs would settle it."""
