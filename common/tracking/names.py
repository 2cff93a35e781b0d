"""Names of MLflow's tags, metrics and aliases, and the values of tags."""

VALIDATION = "validation/"
TEST = "test/"
TRAIN = "train/"  # prefixes of metrics
CONDITION = "conditions/"  # prefix of the same metrics under other conditions
SYSTEM = "system/"  # MLflow's prefix for metrics of the machine
CHAMPION = "champion"  # alias of the best registered model of a data set

ATTEMPT = "attempt"  # the call of a command in which a run failed
FAILURE = "failure"  # why it did
# when a study was last compared; a tag of the run that represents the study
COMPARED = "compared_at"
# field of study.json: each set of arms and seeds that it was run with, and when
DECLARATIONS = "declarations"
# when its primary metric and margin were fixed; also a field of study.json
DECLARED = "declared_at"
OUTSIDE = "outside"  # the folder of a cell that another program coloured
REMARKS = "remarks"  # what a reader must know about such a cell
PRETRAINING = "pretraining"  # of a run that did not do its own pretraining
TUNING = "tuning"  # field of study.json: the trials, images and hours that tuned each arm
# ends the name of an arm that scores a conditional generator with its labels withheld
WITHOUT = "without label"
