"""The interchangeable training methods."""
