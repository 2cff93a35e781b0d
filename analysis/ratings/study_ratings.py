"""The human study of a compared study: writes its sheets, and analyses the filled ones."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis import tables
from analysis.ratings import sheets
from analysis.ratings import tables as rating_tables
from analysis.ratings.schedule import Design
from analysis.results import Results
from common.errors import ColourbenchError
from common.files.names import KEY
from common.tracking.names import WITHOUT


def write_sheets(found: Results, design: Design, folder: Path, arms: Sequence[str] = ()) -> Path:
    """Writes blinded sheets of a study's arms and returns the folder to hand out; existing sheets stay as they are."""
    photographs = material(found, arms)
    if (folder / KEY).exists():
        key = sheets.read_key(folder)
        if (key.study, key.design, list(key.arms)) == (
            found.name,
            design,
            list(photographs.arms),
        ):  # seeds may have been added since
            return folder / "sheets"
    sheets.write(photographs, design, folder)
    return folder / "sheets"


def material(found: Results, arms: Sequence[str] = ()) -> sheets.Material:
    """The photographs to rate: those of the chosen arms, by default of all but the baselines."""
    unknown = set(arms) - set(found.arms)
    if unknown:
        raise ColourbenchError(
            f"the study {found.name} has no arm {', '.join(sorted(unknown))}; its arms are {', '.join(found.arms)}"
        )
    shown = [arm for arm in found.arms if arm not in found.settings["baselines"] and not arm.endswith(WITHOUT)]
    chosen = list(arms) or shown
    by_seed = {arm: {int(run.tags["seed"]): found.samples_of(run) for run in found.runs_of(arm)} for arm in chosen}
    fixed = tuple(arm for arm in chosen if arm in found.baselines or arm in found.outside)
    return sheets.Material(found.name, found.sample_names, found.truth, by_seed, fixed)


def read_answers(folder: Path, files: Sequence[Path]) -> dict[str, pd.DataFrame]:
    """Collects filled sheets, by default those in the folder, into responses.csv, and writes tables/."""
    key = sheets.read_key(folder)
    answered = list(files) or sorted([*(folder / "sheets").glob("*/*.xlsx"), *(folder / "sheets").glob("*/*.csv")])
    answers = rating_tables.collect(answered, key)
    answers.to_csv(folder / "responses.csv", index=False)
    test = key.design.test
    frames = {
        "by_arm": rating_tables.by_arm(answers, test, key.fixed),
        "pairs": rating_tables.pairs(answers, test, key.fixed),
        "raters": rating_tables.vigilance(answers, test),
    }
    for name, frame in frames.items():
        tables.write(frame, frame.round(3), folder / "tables", name)
    return frames
