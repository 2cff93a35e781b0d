"""The ground: data, Lab, networks, the training loop, checkpoints and the door to MLflow."""
