"""Makes what people take away: a data set's description, rating sheets, rating tables."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from analysis import results, tables
from analysis.ratings import sheets
from analysis.ratings import tables as rating_tables
from analysis.ratings.schedule import Design
from analysis.results import WITHOUT, Results
from common.errors import ColourbenchError
from common.shards import SPLITS, Dataset
from studies.home import Home

CONTACT_IMAGES = 64

Say = Callable[[str], None]


def describe_dataset(dataset: Dataset, say: Say) -> None:
    """Says what was kept, in which split, and what was removed and why."""
    size = dataset.config.size
    for name in SPLITS:
        split = dataset.split(name)
        photographs = {entry.photograph for entry in split.entries()}
        shown = ": " + ", ".join(sorted(photographs)) if len(photographs) <= 8 else ""
        say(f"  {name:<11}{len(split):>6} images of {size} px from {len(photographs)} photographs{shown}")
    removed = dataset.manifest.removed
    say(f"  removed    {len(removed):>6} files" + (":" if removed else ""))
    reasons = Counter(item.reason.partition(":")[0].partition(" of ")[0] for item in removed)
    for reason, count in reasons.most_common():
        examples = ", ".join(item.photograph for item in removed if item.reason.startswith(reason))
        say(f"    {count} {reason}: {examples if len(examples) < 90 else examples[:87] + '…'}")


def contact_sheet(dataset: Dataset, path: Path) -> Path:
    """A picture of up to 64 images, train first, then validation and test."""
    from torchvision.utils import make_grid, save_image  # takes seconds to import

    rows = []
    for name in SPLITS:
        split = dataset.split(name)
        share = CONTACT_IMAGES // 2 if name == "train" else CONTACT_IMAGES // 4
        places = np.unique(np.linspace(0, len(split) - 1, num=min(share, len(split))).astype(int))
        rows.append(torch.from_numpy(split.centres(places)).permute(0, 3, 1, 2).float() / 255)
    save_image(make_grid(torch.cat(rows), nrow=16, padding=2, pad_value=1.0), path)
    return path


def rating_sheets(home: Home, study: str, design: Design, out: Path | None = None, arms: Sequence[str] = ()) -> Path:
    """Writes blinded sheets of a study's arms and returns the folder to hand out; sheets that exist stay as they are."""
    folder = out or home.ratings(study)
    found = results.load(home.store, home.data, study)
    photographs = material(found, arms)
    if (folder / "key.json").exists():
        key = sheets.read_key(folder)
        if (key.study, key.design, key.arms) == (study, design, tuple(photographs.arms)):
            return folder / "sheets"
    sheets.write(photographs, design, folder)
    return folder / "sheets"


def material(found: Results, arms: Sequence[str] = ()) -> sheets.Material:
    """The photographs that people rate: the chosen arms, by default all but the baselines."""
    unknown = set(arms) - set(found.arms)
    if unknown:
        raise ColourbenchError(
            f"the study {found.name} has no arm {', '.join(sorted(unknown))}; its arms are {', '.join(found.arms)}"
        )
    shown = [arm for arm in found.arms if arm not in found.settings["baselines"] and not arm.endswith(WITHOUT)]
    chosen = list(arms) or shown
    return sheets.Material(found.name, found.sample_names, found.truth, {arm: found.samples(arm) for arm in chosen})


def rating_results(folder: Path, files: Sequence[Path]) -> dict[str, pd.DataFrame]:
    """Collects filled sheets into responses.csv and writes tables/; by default the sheets that lie in the folder."""
    key = sheets.read_key(folder)
    answered = list(files) or sorted([*(folder / "sheets").glob("*/*.xlsx"), *(folder / "sheets").glob("*/*.csv")])
    answers = rating_tables.collect(answered, key)
    answers.to_csv(folder / "responses.csv", index=False)
    test = key.design.test
    frames = {
        "by_arm": rating_tables.by_arm(answers, test),
        "pairs": rating_tables.pairs(answers, test),
        "raters": rating_tables.vigilance(answers, test),
    }
    for name, frame in frames.items():
        tables.write(frame, frame.round(3), folder / "tables", name)
    return frames
