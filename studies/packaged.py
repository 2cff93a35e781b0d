"""The data set of photographs that come with the dependencies: for the demonstration and for smoke runs."""

from common import preparation, sources
from common.shards import Dataset, ShardConfig
from studies.home import Home

DATASET = "packaged-64"
SHARDS = ShardConfig(size=64, margin=8, tile=128, validation=0.13, test=0.35)


def packaged_dataset(home: Home) -> Dataset:
    """It, prepared where it is missing."""
    if DATASET in home.datasets():
        return home.dataset(DATASET)
    return preparation.prepare(sources.list_files("packaged", None), home.data / DATASET, SHARDS)
