"""What MLflow's tags, metrics and aliases are called, and the values that tags take."""

VALIDATION, TEST, TRAIN = "validation/", "test/", "train/"  # prefixes of metrics
SYSTEM = "system/"  # MLflow's prefix of what it logs of the machine
CHAMPION = "champion"  # alias of the best registered model of a data set

COMPARED = "compared_at"  # when a study was compared last; of the run that stands for the study
DECLARED = "declared_at"  # when its primary metric and margin were fixed; also a field of study.json
OUTSIDE = "outside"  # the folder of a cell that another program coloured
REMARKS = "remarks"  # what a reader must know of such a cell
TAKEN_OVER = "pretraining"  # of a run that did not pretrain by itself
WITHOUT = "without label"  # ends the name of an arm that scores a conditional generator with its labels withheld
