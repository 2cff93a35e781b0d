"""The whole suite in miniature, on photographs that come with it and with the packages it uses."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from analysis import results
from analysis.people.design import Design
from common.config import as_json, parse
from common.data.overview import description
from common.data.shards import Dataset
from common.errors import ColourbenchError
from common.system.atomic import write_atomically
from studies.comparisons import reports
from studies.comparisons.compare import CompareOptions, compare
from studies.comparisons.smoke import DATASET, packaged_dataset
from studies.comparisons.study import Study
from studies.home import Home
from studies.people.sheets import handout
from studies.people.study import RatingStudy
from studies.runs.configuration import RunConfig
from studies.sweeps.launcher import run_sweep
from studies.sweeps.sweep import Sweep
from variants.registry import CLASSES, with_critic

NAME = "demo"
VARIANTS = tuple(CLASSES)
ARMS = {"regression": "l1_only"}  # names of arms that say more than their variant's
TRIALS = 3

Say = Callable[[str], None]

RUN: dict[str, Any] = {
    "dataset": DATASET,
    "batches": {"size": 32},
    "watch": {"validations": 5, "validation_images": 48, "log_steps": 5, "checkpoint_seconds": 20},
}
SMALL: dict[str, Any] = {"network": {"base_width": 16}}
SWEEP_IMAGES = 640
COMPARE_IMAGES = 1920
SEEDS = [0, 1, 2]
MOST_WORKERS = 4


@dataclass(frozen=True)
class Outcome:
    """What the demonstration produced."""

    dataset: Dataset
    sweeps: dict[str, float]
    report: Path
    sheets: Path


def run_demo(home: Home, say: Say, title: Say) -> Outcome:
    """Prepares, sweeps, compares, reports and makes rating sheets; each step skips what already exists."""
    title(
        "1 of 5 · prepare: photographs that come with colourbench, scikit-image, scikit-learn and matplotlib"
    )
    dataset = packaged_dataset(home)
    say("\n".join(description(dataset)))
    title(f"2 of 5 · sweep: {TRIALS} trials for each of {', '.join(VARIANTS)}")
    best = {variant: _sweep(home, variant, say) for variant in VARIANTS}
    title(
        "3 of 5 · compare: the best settings of each variant, and two baselines, over three seeds"
    )
    study = demo_study()
    write_atomically(
        home.path / f"{NAME}.yaml",
        yaml.safe_dump(as_json(study), sort_keys=False, allow_unicode=True).encode(),
    )
    # one thread each: faster than one process with several
    workers = min(MOST_WORKERS, os.cpu_count() or 1)
    if failures := compare(home, study, say, CompareOptions(workers=workers)):
        raise ColourbenchError("\n".join(map(str, failures)))
    title("4 of 5 · report")
    report = reports.report(home, NAME)
    title("5 of 5 · rating sheets: real or fake?")
    compared = results.load(home.store, home.data, NAME)
    design = Design("pair", raters=2, trials=20, exposure_ms=1000)
    rated = RatingStudy.begin(compared, design, home.ratings(NAME), hand_out=handout.write)
    return Outcome(dataset, best, report, rated.sheets)


def demo_study() -> Study:
    """Returns the demonstration's comparison, as written to its YAML file."""
    arms = {
        ARMS.get(variant, variant): {"variant": _small(variant), "best_of": f"{NAME}-{variant}"}
        for variant in VARIANTS
    }
    data = {
        "name": NAME,
        "question": "Which GAN colourises best under one budget of images? A demonstration on a handful of photographs.",
        "dataset": DATASET,
        "budget": {"amount": COMPARE_IMAGES, "unit": "images"},
        "seeds": SEEDS,
        "defaults": {key: value for key, value in RUN.items() if key != "dataset"},
        "arms": arms,
    }
    return parse(Study, data, "the demonstration's study")


def _small(variant: str) -> dict[str, Any]:
    """A variant's fields with networks that two cores train in seconds."""
    return {"name": variant, "generator": SMALL} | (
        {"critic": SMALL} if variant in with_critic() else {}
    )


def _sweep(home: Home, variant: str, say: Say) -> float:
    """Runs a short sweep and returns its best validation ΔE."""
    data = RUN | {
        "variant": _small(variant),
        "budget": {"amount": SWEEP_IMAGES, "unit": "images"},
    }
    base = parse(RunConfig, data, "the demonstration's sweep")
    wanted = Sweep(name=f"{NAME}-{variant}", base=base, trials=TRIALS, study=NAME)
    best = run_sweep(home, wanted, say)
    return float(best.value or 0.0)
