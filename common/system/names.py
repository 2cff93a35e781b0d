"""Names of the suite's files: every name that more than one module uses."""

DATABASE = "mlflow.db"  # in the home folder
MANIFEST = "manifest.json"  # in a data set

# files of a run
CONFIG = "config.json"
GENERATOR = "generator.safetensors"
LABELS = "labels.json"
PER_IMAGE = "metrics.parquet"  # of each test image
SAMPLES = "samples.npy"  # some test photographs as the run colours them
PERCEPTUAL = "perceptual.parquet"  # LPIPS of each image, where its weights were available
# test images on old film or with hints, where the run asks for it
CONDITIONS = "conditions.parquet"
SET_DISTANCES = "perceptual.json"  # FID and KID of the whole split
SCORED = (PER_IMAGE, SAMPLES)  # the files that evaluating a run on the test split writes

# files of a study
STUDY = "study.json"
FAMILY = "family.json"  # of a study on several data sets: the study on each of them
VERDICT = "verdict.json"
STUDY_YAML = "study.yaml"  # beside the report: the study file that its commands use
KEY = "key.json"  # the key to its rating sheets, which raters must not see
STARTER = "starter"  # the model that comes with the suite
DEBUG = "COLOURBENCH_DEBUG"  # environment variable: show tracebacks
