"""A human study's results as tables, with and without the raters whom the rules reject; written to its folder."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from analysis import tables as files
from analysis.people import agreement, opinion, preference, rates
from analysis.people.design import TestName
from analysis.people.planning import stopping
from analysis.report.people import RUNS
from analysis.results import Results
from common.colour.metrics import METRICS
from studies.people.collection import TIDY, tidy
from studies.people.store import ResponseStore
from studies.people.study import RatingStudy

INFORMAL = 15  # observers; ITU-R BT.500 calls a test with fewer informal


def write(
    study: RatingStudy,
    store: ResponseStore,
    difference: float,
    compared: Results | None = None,
) -> dict[str, pd.DataFrame]:
    """Writes responses.csv and tables/ into the study's folder, and returns the tables.

    Args:
        difference: the smallest that matters, on the scale of the answers.
        compared: the study whose photographs were rated, to compare people with metrics.

    Raises:
        ColourbenchError: there is no answer yet.
    """
    answers = tidy(study, store)
    answers.to_csv(study.folder / "responses.csv", index=False)
    codebook = pd.DataFrame(TIDY.items(), columns=["column", "meaning"])
    codebook.to_csv(study.folder / "codebook.csv", index=False)
    design = study.key.design
    frames = judge(answers, design.test, study.key.fixed)
    # a preference is judged by its p-values, once
    if design.test != "preference":
        looks = stopping.standings(answers, design.test, difference, plan_of(study))
        frames["verdicts"] = stopping.as_table(looks)
    # a preference is about two photographs
    if compared and design.test != "preference":
        names = [
            name for name, metric in METRICS.items() if metric.direction and name in compared.table
        ]
        frames["metrics"] = agreement.with_metrics(answers, compared.table, design.test, names)
    frames[RUNS] = study.key.shown_runs
    write_frames(frames, study.folder / "tables")
    return frames


def plan_of(study: RatingStudy) -> stopping.Plan:
    """When a study's last look is: at the planned number of raters, or when its sheets are collected."""
    design = study.key.design
    return stopping.Plan(design.raters, design.trials, is_last=bool(study.key.trials))


def write_frames(frames: dict[str, pd.DataFrame], folder: Path) -> None:
    """Writes tables as CSV, Markdown and LaTeX, in place of all that were in the folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, frame in frames.items():
        files.write(frame, frame.round(3), folder, name)


def judge(
    answers: pd.DataFrame, test: TestName, fixed: Sequence[str] = ()
) -> dict[str, pd.DataFrame]:
    """All tables of one test's answers; where the rules reject raters, those by arm come again without them (`…_kept`)."""
    frames = _by_arm(answers, test, fixed)
    frames["raters"] = rates.raters(answers, test)
    left = rates.kept(answers, test)
    if 0 < left["rater"].nunique() < answers["rater"].nunique() and (left["kind"] == "test").any():
        frames |= {f"{name}_kept": frame for name, frame in _by_arm(left, test, fixed).items()}
    frames["about"] = pd.DataFrame([_about(answers, test)])
    frames["agreement"] = pd.DataFrame([agreement.krippendorff(answers, test)])
    if test == "single":
        frames["detection"] = agreement.detection(answers)
    if test == "opinion":
        frames["p913"] = _p913(answers)
    return frames


def _by_arm(answers: pd.DataFrame, test: TestName, fixed: Sequence[str]) -> dict[str, pd.DataFrame]:
    if test == "preference":
        return {
            "by_arm": preference.worths(answers, fixed),
            "pairs": preference.pairs(answers, fixed),
        }
    return {
        "by_arm": rates.by_arm(answers, test, fixed),
        "pairs": rates.pairs(answers, test, fixed),
    }


def _p913(answers: pd.DataFrame) -> pd.DataFrame:
    """Mean opinion scores by arm after raters' biases and inconsistencies are taken out (ITU-T P.913 §12.6)."""
    matrix = rates.judged_trials(answers, "opinion").pivot_table(
        index=["image", "arm"], columns="rater", values="value"
    )
    fitted = opinion.p913(matrix)
    quality = pd.Series(fitted.mos, matrix.index).groupby("arm").agg(["mean", "size"])
    return quality.rename(columns={"mean": "mos_p913", "size": "photographs"}).reset_index()


def _about(answers: pd.DataFrame, test: TestName) -> dict[str, object]:
    """What a rate must never stand without: protocol and numbers."""
    tests = answers[answers["kind"] == "test"]
    counts = {
        "raters": tests["rater"].nunique(),
        "photographs": tests["image"].nunique(),
        "answers": len(tests),
    }
    return {
        "test": test,
        **counts,
        "exposure": _exposure(tests),
        "notes": "; ".join(remarks(answers, test)),
    }


def _exposure(tests: pd.DataFrame) -> str:
    """How long pictures were shown: "1000 ms", "untimed", or both, by number of answers."""
    shown = tests["exposure_ms"] if "exposure_ms" in tests else pd.Series(np.nan, index=tests.index)
    counts = shown.fillna(0).astype(int).value_counts()
    named = [f"{exposure} ms" if exposure else "untimed" for exposure in counts.index]
    return (
        named[0]
        if len(named) == 1
        else ", ".join(f"{name}: {n}" for name, n in zip(named, counts, strict=True))
    )


def remarks(answers: pd.DataFrame, test: TestName) -> list[str]:
    """What a reader of the tables must know."""
    count = answers["rater"].nunique()
    lines = []
    if count < INFORMAL:
        lines.append(
            f"{count} raters: with fewer than {INFORMAL}, ITU-R BT.500 calls a test informal"
        )
    exposure = _exposure(answers[answers["kind"] == "test"])
    if ":" in exposure:
        lines.append(
            f"answers of different exposures are pooled ({exposure}): timed and untimed answers are different tests"
        )
    rejected = rates.raters(answers, test)
    rejected = rejected[rejected["rejected"] != ""]
    if len(rejected):
        left = "the tables `…_kept` are without them" if len(rejected) < count else "nobody is left"
        lines.append(
            f"{len(rejected)} of {count} raters are rejected by the rules, as the table `raters` says; {left}"
        )
    return lines
