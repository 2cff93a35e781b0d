"""Photographs without a truth, such as real old ones, as every arm of a study colours them: a section of its report."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from analysis import results
from analysis.figures import galleries
from common.data.decoding import images
from common.data.sources.files import images_below
from common.errors import ColourbenchError
from studies.home import Home
from studies.runs.model import load_run
from studies.use.photographs import without_colour
from studies.use.prediction import Sight, colour
from variants.players.colouriser import Colouriser

if TYPE_CHECKING:
    from analysis.figures.drawing import Figure

MOST = 24  # photographs; more would be a page of their own
SHOWN = 320  # pixels of a picture's longer side
LONGEST_TITLE = 20  # characters beside a row
GREY = "input"


def figure(home: Home, study: str, folder: Path) -> tuple["Figure", list[str]]:
    """A gallery with a row for each photograph and a column for the first seed of each arm; and remarks on files left out.

    Raises:
        ColourbenchError: the folder holds no photographs that can be read, or the study has no runs.
    """
    colourisers = _first_seeds(results.load(home.store, home.data, study))
    files = list(images_below(folder))
    remarks = []
    if len(files) > MOST:
        remarks.append(f"{len(files) - MOST} more photographs in {folder} are not shown")
    rows: list[list[np.ndarray | None]] = []
    titles = []
    for file in files[:MOST]:
        try:
            rgb = images.decode(file).rgb
        except ColourbenchError as error:
            remarks.append(f"{file.name}: {error}")
            continue
        coloured = [colour(colouriser, rgb, Sight()) for colouriser in colourisers.values()]
        rows.append([_small(picture) for picture in (without_colour(rgb), *coloured)])
        titles.append(file.stem[:LONGEST_TITLE])
    if not rows:
        raise ColourbenchError(f"{folder} holds no photographs that can be read")
    return galleries.drawn(rows, titles, [GREY, *colourisers]), remarks


def _first_seeds(compared: results.Results) -> dict[str, Colouriser]:
    """The colouriser of each trained arm's first seed."""
    first = {arm: compared.runs_of(arm)[0] for arm in compared.arms}
    return {arm: load_run(run)[0] for arm, run in first.items() if run in compared.trained}


def _small(rgb: np.ndarray) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(rgb))
    image.thumbnail((SHOWN, SHOWN))
    return np.asarray(image)
