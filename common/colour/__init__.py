"""RGB, Lab, bins of ab, and the table of the metrics that judge colours."""
