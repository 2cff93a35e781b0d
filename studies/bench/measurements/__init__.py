"""What is measured, each file one hot path."""
