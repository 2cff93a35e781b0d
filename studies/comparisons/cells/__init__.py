"""The runs of a study: those that are trained, those that are only scored, and the results of other programs."""
