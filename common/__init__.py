"""What the other packages build on: photographs, colour, networks, the training loop, MLflow, files."""
