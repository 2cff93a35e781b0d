from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.config import parse
from common.data.shards import Dataset
from common.errors import ColourbenchError
from studies.comparisons import reports
from studies.comparisons.compare import compare
from studies.comparisons.study import Study
from studies.home import Home
from studies.use import old_photographs

FIELDS: dict[str, Any] = {
    "name": "small",
    "dataset": "fields-32",
    "budget": {"amount": 8, "unit": "images"},
    "seeds": [0],
    "baselines": ["grey"],
    "defaults": {"batches": {"size": 4}, "watch": {"validations": 1, "preview_images": 0}},
    "arms": {
        "l1": {"variant": {"name": "regression", "generator": {"network": {"base_width": 4}}}},
        "l2": {
            "variant": {
                "name": "regression",
                "generator": {"network": {"base_width": 4}},
                "reconstruction": "l2",
            }
        },
    },
}


def test_every_arm_colours_what_has_no_truth(
    home: Path, dataset: Dataset, tmp_path: Path, make_photograph: Callable[..., np.ndarray]
) -> None:
    rooms, old = Home(home), tmp_path / "old"
    old.mkdir()
    with pytest.raises(ColourbenchError, match="no compared study"):
        old_photographs.figure(rooms, "small", old)
    assert compare(rooms, parse(Study, FIELDS, "study"), lambda text: None) == []
    with pytest.raises(ColourbenchError, match="holds no photographs"):
        old_photographs.figure(rooms, "small", old)
    Image.fromarray(make_photograph(0, (90, 60))[..., 0]).save(old / "grandmother.png")
    (old / "broken.jpg").write_bytes(b"no")
    figure, remarks = old_photographs.figure(rooms, "small", old)
    assert [axis.get_title() for axis in figure.axes] == ["input", "l1", "l2"] and figure.axes[
        0
    ].get_ylabel() == "grandmother"
    assert remarks == ["broken.jpg: not a JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF or JPEG 2000 image"]
    page = reports.report(
        rooms, "small", ["html"], lambda text: None, lambda name: {"old_photographs": figure}
    )
    assert (
        "Photographs without a truth" in page.read_text()
        and (page.parent / "figures" / "old_photographs.png").is_file()
    )
