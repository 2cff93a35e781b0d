"""What a study's runs say about its question, and how many more would be needed."""
