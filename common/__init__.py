"""What everything stands on: photographs, colour, networks, the training loop, MLflow, files."""
