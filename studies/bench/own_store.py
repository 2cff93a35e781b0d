"""Benchmarks write into a store of their own, whatever store the user's runs go to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE = "MLFLOW_TRACKING_URI"


@contextmanager
def own_store() -> Iterator[None]:
    """Hides the user's store from this process and those it starts."""
    before = os.environ.pop(VARIABLE, None)
    try:
        yield
    finally:
        if before is not None:
            os.environ[VARIABLE] = before
