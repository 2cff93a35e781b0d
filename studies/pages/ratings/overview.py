"""What the study's owner sees while it runs: counts and the quality of the data, but nothing about which arm is better."""

import time
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from analysis.people import rates
from studies.people.store import ResponseStore
from studies.people.study import RatingStudy

FRAME_MS = 1000 / 60
ONLINE_SECONDS = 120.0


def overview(study: RatingStudy, store: ResponseStore) -> dict[str, Any]:
    """Counts, the filling of the cells, and each rater's attention. No answer is shown by arm: looking must not decide."""
    answers = store.table()
    raters = store.raters()
    return {
        "study": study.key.study,
        "test": study.key.design.test,
        "raters": {
            "begun": len(raters),
            "online": _online(answers),
            "finished a block": _finished(store, answers),
            "withdrawn": len(store.withdrawn()),
            "screen not passed": sum(
                not all(rater["screen"].values()) for rater in raters if rater["screen"]
            ),
        },
        "answers": dict(Counter(answers["kind"])),
        "cells": _cells(study, answers),
        "quality": _quality(answers),
        "each": _each(answers, study),
    }


def _online(answers: pd.DataFrame) -> int:
    return int(
        answers.loc[answers["time"].astype(float) > time.time() - ONLINE_SECONDS, "rater"].nunique()
    )


def _finished(store: ResponseStore, answers: pd.DataFrame) -> int:
    dealt: dict[tuple[str, int], set[str]] = {}
    for trial in store.trials():
        dealt.setdefault((trial.rater, trial.block), set()).add(trial.code)
    answered = set(answers["code"])
    return len({rater for (rater, _), codes in dealt.items() if codes <= answered})


def _cells(study: RatingStudy, answers: pd.DataFrame) -> dict[str, float]:
    """How often each photograph was judged in each arm: the least, the median, the most."""
    tests = answers[answers["kind"] == "test"]
    judged = Counter(zip(tests["image"], tests["arm"], tests["other"], strict=True))
    schedule = study.key.schedule
    practice = set(schedule.practice_images)
    counts = [
        judged[(image, *option)]
        for image in schedule.images
        if image not in practice
        for option in schedule.options
    ]
    return {
        "least": min(counts),
        "median": float(np.median(counts)),
        "most": max(counts),
        "cells": len(counts),
    }


def _quality(answers: pd.DataFrame) -> dict[str, float | None]:
    """Shares over all trials, in per cent, and the median reaction."""
    if answers.empty:
        return {}
    # not answered before
    timed = answers[
        (answers["requested_ms"].fillna(0) > 0)
        & (answers["reaction_ms"] >= answers["requested_ms"])
    ]
    off = (timed["exposure_ms"] - timed["requested_ms"]).abs() > FRAME_MS
    return {
        "median reaction, ms": _plain(answers["reaction_ms"].median()),
        "shown a frame or more too long or short, %": _plain(100 * off.mean()),
        "reloaded, %": _plain(100 * (answers["fetches"] > 1).mean()),
        "focus lost, %": _plain(100 * answers["focus_lost"].astype(float).mean()),
        "full screen, %": _plain(100 * answers["full_screen"].astype(float).mean()),
    }


def _each(answers: pd.DataFrame, study: RatingStudy) -> list[dict[str, Any]]:
    if not (answers["kind"] == "test").any():
        return []
    raters = rates.raters(answers, study.key.design.test)
    columns = (
        "rater",
        "answers",
        "vigilance_right",
        "repeats_alike",
        "median_reaction_ms",
        "rejected",
    )
    return [{name: _plain(row[name]) for name in columns} for row in raters.to_dict("records")]


def _plain(value: Any) -> Any:
    """A value that JSON can hold."""
    if isinstance(value, str):
        return value
    return None if value is None or not np.isfinite(value) else round(float(value), 3)
