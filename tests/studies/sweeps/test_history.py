"""A sweep's page: its tables hold what the store holds, and every picture is there."""

from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from analysis.report.sweep_page import write_sweep
from studies.sweeps.status import trials_of

RANGES = {
    "variant.generator.adam.learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
    "variant.reconstruction.loss": CategoricalDistribution(["l1", "l2"]),
}


def made(objectives: list[str]) -> optuna.Study:
    study = optuna.create_study(study_name="tuning", directions=["minimize"] * len(objectives))
    study.set_user_attr("objectives", objectives)
    rates = [1e-5, 1e-4, 1e-3, 1e-2, 3e-4, 3e-3]
    for number, rate in enumerate(rates):
        params = {
            "variant.generator.adam.learning_rate": rate,
            "variant.reconstruction.loss": "l1" if number % 2 else "l2",
        }
        pruned = number == 2
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.PRUNED
                if pruned
                else optuna.trial.TrialState.COMPLETE,
                params=params,
                distributions=RANGES,
                values=None if pruned else [10.0 - number, *[5.0 + number] * (len(objectives) - 1)],
                intermediate_values={100: 12.0, 200: 11.0} if len(objectives) == 1 else {},
                user_attrs={"run": number},
            )
        )
    study.add_trial(
        optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL, user_attrs={"run": 0})
    )
    return study


@pytest.mark.parametrize(
    ("objectives", "pictures"),
    [
        (["delta_e"], {"history", "importance", "slices", "parallel", "pruning"}),
        (["delta_e", "seconds"], {"history", "importance", "slices", "parallel", "front"}),
    ],
)
def test_page(objectives: list[str], pictures: set[str], tmp_path: Path) -> None:
    trials = trials_of(made(objectives))
    # a trial that died and was tried again counts once
    assert trials.table["trial"].tolist() == [
        0,
        1,
        2,
        3,
        4,
        5,
    ]
    assert trials.table["state"].tolist().count("pruned") == 1
    page = write_sweep(trials, "A sweep.", tmp_path)
    assert {path.stem for path in (tmp_path / "figures").glob("*.png")} == pictures
    text = page.read_text()
    assert text.count("data:image/png;base64") == len(pictures) and "http" not in text.split(
        "</style>"
    )[1].replace("http://www.w3", "")
    assert sum(trials.importance.values()) == pytest.approx(1.0)
    if len(objectives) > 1:
        assert trials.front == [0, 1, 3, 4, 5]  # better in one is worse in the other


def test_one_trial_is_enough_for_a_page(tmp_path: Path) -> None:
    study = optuna.create_study(study_name="one")
    study.set_user_attr("objectives", ["delta_e"])
    study.add_trial(optuna.trial.create_trial(value=1.0, user_attrs={"run": 0}))
    write_sweep(trials_of(study), "A sweep.", tmp_path)
    assert [path.name for path in (tmp_path / "figures").glob("*.png")] == ["history.png"]
