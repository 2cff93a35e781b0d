"""People steer a sweep: rounds, answers that propose, and fewer comparisons than random search needs."""

from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest

from common.config import parse
from common.errors import ColourbenchError
from studies.home import Home
from studies.pages.ratings.sessions import Screen, Sessions
from studies.pages.ratings.settings import PageSettings
from studies.people import steering
from studies.people.store import Answer, ResponseStore
from studies.people.study import RatingStudy
from studies.runs.configuration import RunConfig
from studies.sweeps.sweep import Sweep
from variants.contract.ranges import Number, Space

SPACE: Space = {"a": Number(low=0, high=1), "b": Number(low=0, high=1)}


def order(trials: int) -> Sweep:
    network = {"network": {"base_width": 4}}
    fields = {
        "variant": {"name": "cgan", "generator": network, "critic": network},
        "dataset": "fields-32",
        "budget": {"amount": 8, "unit": "images"},
        "batches": {"size": 4},
        "engine": {"device": "cpu", "precision": "32", "threads": 1},
        "watch": {"validations": 1, "validation_images": 4, "preview_images": 0},
    }
    return Sweep(name="s", base=parse(RunConfig, fields), trials=trials, by="people")


def judge(study: RatingStudy, prefer: int) -> None:
    """Three attentive raters who always prefer one trial, and otherwise the left photograph."""
    sessions = Sessions(study, ResponseStore(study.database), PageSettings())
    for _ in range(3):
        rater = sessions.rater_of(sessions.begin(sessions.settings.consent_version, None, ""))
        assert rater
        numbers = tuple(sessions.plate_number(rater, plate) for plate in range(4))
        sessions.check_screen(rater, Screen(800, 600, numbers))
        for trial in sessions.store.trials(rater):
            preferred = f"trial {prefer:03d}"
            left = (
                trial.side == "left"
                if trial.arm == preferred
                else trial.side != "left"
                if trial.other == preferred
                else True
            )
            # attentive: random colours are never preferred
            response = trial.right_answer or ("left" if left else "right")
            sessions.store.fetched(trial.code)
            sessions.answer(rater, Answer(trial.code, response, "s", trial.code))


def test_rounds_follow_what_people_prefer(home: Path) -> None:
    rooms, said = Home(home), list[str]()
    assert steering.run(rooms, order(3), said.append) is None
    (first,) = steering.rounds(rooms, "s")
    assert sorted(first.key.arms) == ["trial 000", "trial 001", "trial 002"] and said[-1].endswith(
        "ratings serve s-round-1"
    )
    with pytest.raises(
        ColourbenchError,
        match=r"nobody whose answers count has judged 3 trials of s yet; serve their round.* s-round-1",
    ):
        steering.run(rooms, order(5), said.append)
    judge(first, prefer=1)
    best = steering.run(rooms, order(5), said.append)
    assert (
        best is not None
        and best.user_attrs["run"] == 1
        and "2 trials are proposed by what people preferred" in said
    )
    second = steering.rounds(rooms, "s")[1]
    # two new ones, and the three known best
    assert set(second.key.arms) == {f"trial {number:03d}" for number in range(5)}
    worths = steering.worths(steering.rounds(rooms, "s"))
    assert max(worths, key=lambda number: worths[number]) == 1 and set(worths) == {0, 1, 2}


def test_the_same_command_without_more_trials_only_names_the_page(home: Path) -> None:
    rooms, said = Home(home), list[str]()
    steering.run(rooms, order(2), said.append)
    steering.run(rooms, order(2), said.append)
    assert len(steering.rounds(rooms, "s")) == 1 and "more answers to the last round" in said[-1]


def utility(settings: dict[str, object]) -> float:
    a, b = float(str(settings["a"])), float(str(settings["b"]))
    return float(np.exp(-((a - 0.7) ** 2 + (b - 0.3) ** 2) / (2 * 0.3**2)))


def search(
    seed: int, steered: bool, rounds: int, comparisons: int = 60, batch: int = 4
) -> list[float]:
    """The true utility of the trial that simulated people prefer, after each round; 1 is the best there is."""
    draw, tried, rows, worths, reached = (
        np.random.default_rng(seed),
        list[dict[str, object]](),
        [],
        steering.Worths(),
        [],
    )
    for number in range(rounds):
        new: list[dict[str, object]] = [
            {"a": float(draw.random()), "b": float(draw.random())} for _ in range(batch)
        ]
        if number and steered:
            known = [_frozen(k, settings) for k, settings in enumerate(tried)]
            new = steering.proposals(SPACE, known, worths, batch, seed * 100 + number)
        shown = [
            *range(len(tried), len(tried) + batch),
            *sorted(worths, key=lambda k: -worths[k])[: steering.KNOWN],
        ]
        tried += new
        for _ in range(comparisons):
            i, j = draw.choice(shown, 2, replace=False)
            won = draw.random() < 1 / (1 + np.exp(4 * (utility(tried[j]) - utility(tried[i]))))
            rows.append((f"trial {i:03d}", f"trial {j:03d}", float(won)))
        worths = steering.worths_of(pd.DataFrame(rows, columns=["arm", "other", "value"]))
        reached.append(utility(tried[max(worths, key=lambda k: worths[k])]))
    return reached


def _frozen(number: int, settings: dict[str, object]) -> optuna.trial.FrozenTrial:
    unit = optuna.distributions.FloatDistribution(0, 1)
    attributes = {"run": number}
    return optuna.trial.create_trial(
        params=settings,
        distributions=dict.fromkeys(settings, unit),
        value=0.0,
        user_attrs=attributes,
    )


@pytest.mark.integration
def test_half_of_the_comparisons_of_random_search_are_enough() -> None:
    """Four rounds that people steer against eight random ones, over six seeds; margins are two standard errors of the means."""
    steered = [search(seed, True, 4)[-1] for seed in range(6)]
    random = [search(seed, False, 8)[-1] for seed in range(6)]
    assert np.median(steered) >= 0.8 and np.mean(steered) >= np.mean(random) - 0.08, (
        steered,
        random,
    )
