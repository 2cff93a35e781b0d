"""Names of MLflow's tags, metrics and aliases, and the values of tags."""

VALIDATION, TEST, TRAIN = "validation/", "test/", "train/"  # prefixes of metrics
CONDITION = "conditions/"  # prefix of the same metrics under other conditions
SYSTEM = "system/"  # MLflow's prefix for metrics of the machine
CHAMPION = "champion"  # alias of the best registered model of a data set

COMPARED = "compared_at"  # when a study was last compared; a tag of the run that represents the study
DECLARED = "declared_at"  # when its primary metric and margin were fixed; also a field of study.json
OUTSIDE = "outside"  # the folder of a cell that another program coloured
REMARKS = "remarks"  # what a reader must know about such a cell
TAKEN_OVER = "pretraining"  # of a run that did not do its own pretraining
WITHOUT = "without label"  # ends the name of an arm that scores a conditional generator with its labels withheld
