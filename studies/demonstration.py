"""The whole suite in miniature, on photographs that come with the dependencies."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from analysis import results
from analysis.ratings.design import Design
from analysis.ratings.sheets import handout
from analysis.ratings.study import RatingStudy
from common.config import as_json, parse
from common.data.overview import description
from common.data.shards import Dataset
from common.errors import ColourbenchError
from common.files.atomic import write_atomically
from studies.comparisons import reports
from studies.comparisons.compare import compare
from studies.comparisons.smoke import DATASET, packaged_dataset
from studies.comparisons.study import Study
from studies.home import Home
from studies.runs.configuration import RunConfig
from studies.sweeps.launcher import run_sweep
from studies.sweeps.sweep import Sweep
from variants.registry import with_critic

NAME = "demo"
VARIANTS = with_critic()
TRIALS = 4

Say = Callable[[str], None]

RUN: dict[str, Any] = {
    "dataset": DATASET,
    "batches": {"size": 8},
    "watch": {"validations": 5, "validation_images": 48, "log_steps": 5, "checkpoint_seconds": 20},
}
SMALL: dict[str, Any] = {"network": {"base_width": 16}}
SWEEP_IMAGES = 640
COMPARE_IMAGES = 3200


@dataclass(frozen=True)
class Outcome:
    """What the demonstration produced."""

    dataset: Dataset
    sweeps: dict[str, float]
    report: Path
    sheets: Path


def run_demo(home: Home, say: Say, title: Say) -> Outcome:
    """Prepares, sweeps, compares, reports and makes rating sheets; each step skips what already exists."""
    title("1 of 5 · prepare: photographs that come with scikit-image, scikit-learn and matplotlib")
    dataset = packaged_dataset(home)
    say("\n".join(description(dataset)))
    title(f"2 of 5 · sweep: {TRIALS} trials for each of {', '.join(VARIANTS)}")
    best = {variant: _sweep(home, variant, say) for variant in VARIANTS}
    title("3 of 5 · compare: the best settings of each variant, L1 alone, and two baselines, over two seeds")
    study = demo_study()
    write_atomically(home.path / f"{NAME}.yaml", yaml.safe_dump(as_json(study), sort_keys=False, allow_unicode=True).encode())
    if failures := compare(home, study, say):
        raise ColourbenchError("\n".join(map(str, failures)))
    title("4 of 5 · report")
    report = reports.report(home, NAME)
    title("5 of 5 · rating sheets: real or fake?")
    compared, design = results.load(home.store, home.data, NAME), Design("pair", raters=2, trials=20, exposure_ms=1000)
    rated = RatingStudy.begin(compared, design, home.ratings(NAME), hand_out=handout.write)
    return Outcome(dataset, best, report, rated.sheets)


def demo_study() -> Study:
    """Returns the demonstration's comparison, as written to its YAML file."""
    arms: dict[str, Any] = {"l1_only": {"variant": {"name": "regression", "generator": SMALL}}}
    arms |= {variant: {"variant": {"name": variant}, "best_of": f"{NAME}-{variant}"} for variant in VARIANTS}
    data = {
        "name": NAME,
        "question": "Which GAN colourises best under one budget of images? A demonstration on a handful of photographs.",
        "dataset": DATASET,
        "budget": {"amount": COMPARE_IMAGES, "unit": "images"},
        "seeds": [0, 1],
        "defaults": {key: value for key, value in RUN.items() if key != "dataset"},
        "arms": arms,
    }
    return parse(Study, data, "the demonstration's study")


def _sweep(home: Home, variant: str, say: Say) -> float:
    """Runs a short sweep and returns its best validation ΔE."""
    data = RUN | {
        "variant": {"name": variant, "generator": SMALL, "critic": SMALL},
        "budget": {"amount": SWEEP_IMAGES, "unit": "images"},
    }
    base = parse(RunConfig, data, "the demonstration's sweep")
    wanted = Sweep(name=f"{NAME}-{variant}", base=base, trials=TRIALS, study=NAME)
    best = run_sweep(home, wanted, say)
    return float(best.value or 0.0)
