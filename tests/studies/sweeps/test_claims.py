"""Claims: what is proposed first, what is proposed side by side, and what is given up."""

from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from common.config import parse
from studies.runs.configuration import RunConfig
from studies.sweeps import claims
from studies.sweeps.spaces import grid
from studies.sweeps.sweep import Sweep, first_trials, sampled, sampler_of
from variants.contract.ranges import Choice, Number, Space


def order(**fields: Any) -> Sweep:
    base = parse(RunConfig, {"variant": {"name": "wgan_gp"}, "dataset": "d"})
    return Sweep(name="s", base=base, **fields)


def test_two_launchers_by_hand_never_propose_the_same(tmp_path: Path) -> None:
    """Each opens the sweep by itself and claims in turn, as array elements do."""
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    studies = [
        optuna.create_study(study_name="s", storage=url, load_if_exists=True) for _ in range(3)
    ]
    sweep = order(sampler="random")
    proposed = []
    for turn in range(9):
        trial = claims.claim(
            studies[turn % 3], tmp_path / "lock", 99, sampler=lambda count: sampler_of(sweep, count)
        )
        assert trial is not None
        proposed.append(trial.suggest_float("x", 0, 1))
    assert len(set(proposed)) == 9


def test_a_trial_that_ends_its_process_again_and_again_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = optuna.create_study(study_name="s", storage=f"sqlite:///{tmp_path / 'optuna.db'}")
    monkeypatch.setattr(claims, "_is_dead", lambda trial: True)
    study.enqueue_trial({"x": 0.25})
    runs: Counter[int] = Counter()
    for _ in range(claims.MOST_KILLS):
        trial = claims.claim(study, tmp_path / "lock", 9)
        assert trial is not None and trial.suggest_float("x", 0, 1) == 0.25
        runs[trial.user_attrs["run"]] += 1
    with pytest.warns(UserWarning, match="trial 000 ended 3 processes and is given up"):
        fresh = claims.claim(study, tmp_path / "lock", 9)
    assert fresh is not None and fresh.user_attrs["run"] != 0 and runs == {0: claims.MOST_KILLS}
    assert not study.get_trials(states=[TrialState.WAITING])


def test_first_trials_lie_in_the_space() -> None:
    """A base value or a preset outside of a narrowed range is left to the sampler."""
    narrowed: Space = {
        "variant.generator.adam.learning_rate": Number(low=1e-3, high=2e-3, log=True),
        "variant.critic.network.norm": Choice(options=("layer",)),
    }
    for settings in first_trials(order(), narrowed):
        assert settings.get("variant.critic.network.norm", "layer") == "layer"
        assert "variant.generator.adam.learning_rate" not in settings


def test_the_preset_after_chromagan_is_theirs() -> None:
    """Vitoria et al. 2020 and their code: Adam(2e-5, β₁ 0.5) for both players, no norm in the critic, one update a step."""
    _, preset = first_trials(order(), order().search_space())
    for player in ("generator", "critic"):
        assert (
            preset[f"variant.{player}.adam.learning_rate"] == 2e-5
            and preset[f"variant.{player}.adam.beta1"] == 0.5
        )
    assert preset["variant.critic.network.norm"] == "none" and preset["variant.n_critic"] == 1


def test_a_large_grid_is_sampled_over_its_whole_range() -> None:
    points = grid(order().search_space(), 3)
    drawn = sampled(points, 20, seed=0)
    assert len(drawn) == 20 and len(points) > 1000
    for path in (
        "variant.generator.adam.learning_rate",
        "variant.n_critic",
        "variant.penalty_weight",
    ):
        assert len({point[path] for point in drawn}) == len({point[path] for point in points})
    assert sampled(points[:5], 20, seed=0) == points[:5]
