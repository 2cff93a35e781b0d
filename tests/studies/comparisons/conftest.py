"""A small study of three methods."""

from collections.abc import Callable

import pytest

from common.config import parse
from studies.comparisons.study import Study

NETWORK = {"network": {"base_width": 4}}


def study(**fields: object) -> Study:
    data = {
        "name": "fair",
        "question": "Which?",
        "dataset": "fields-32",
        "budget": {"amount": 24, "unit": "images"},
        "seeds": [0, 1],
        "defaults": {
            "batches": {"size": 4},
            "engine": {"device": "cpu", "precision": "32", "threads": 1},
            "watch": {"validations": 2, "preview_images": 0},
            "variant": {"generator": NETWORK},
        },
        "arms": {
            "l1_only": {"variant": {"name": "regression"}},
            "cgan": {"variant": {"name": "cgan", "critic": NETWORK}},
            "egan": {"variant": {"name": "egan", "critic": NETWORK}},
        },
    }
    return parse(Study, data | fields, "study")


@pytest.fixture(scope="session")
def make_study() -> Callable[..., Study]:
    """Makes that study, with other fields where they are named."""
    return study
