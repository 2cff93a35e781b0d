"""What the suite's files are called: every name that more than one file uses."""

DATABASE = "mlflow.db"  # in a home
MANIFEST = "manifest.json"  # of a data set

# of a run
CONFIG = "config.json"
GENERATOR = "generator.pt"
LABELS = "labels.json"
PER_IMAGE = "metrics.parquet"  # of each test image
SAMPLES = "samples.npy"  # some test photographs as the run colours them
PERCEPTUAL = "perceptual.parquet"  # LPIPS of each image, where its weights were at hand
SETS = "perceptual.json"  # FID and KID of the whole split
SCORED = (PER_IMAGE, SAMPLES)  # what a run on the test split leaves

# of a study
STUDY = "study.json"
FAMILY = "family.json"  # on several data sets: the studies on each
VERDICT = "verdict.json"
STUDY_YAML = "study.yaml"  # beside the report: what its commands run
KEY = "key.json"  # of its rating sheets, which raters must not see
