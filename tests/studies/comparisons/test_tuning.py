"""Arms with the winners of sweeps: what they take, what does not match, and equal effort for all."""

from collections.abc import Callable
from pathlib import Path

import pytest

from analysis import results
from analysis.report import study_tables
from analysis.verdicts.remarks import remarks
from common.config import as_json
from common.errors import ColourbenchError
from studies.comparisons.cells.arms import cells
from studies.comparisons.compare import compare
from studies.comparisons.study import Study
from studies.comparisons.tuning import Tuning, tune_arms
from studies.home import Home
from studies.sweeps.launcher import run_sweep
from studies.sweeps.outcome import best_trial, tuned, untuned
from studies.sweeps.sweep import Sweep, load

MakeStudy = Callable[..., Study]
NETWORK = {"network": {"base_width": 4}}


@pytest.fixture
def swept(home: Path, make_study: MakeStudy) -> Home:
    """A home with a finished sweep of the arm cgan, called tuned."""
    [cell] = [one for one in cells(make_study(seeds=[0]), untuned) if one.arm == "cgan"]
    run_sweep(Home(home), Sweep(name="tuned", base=cell.config, trials=2), lambda text: None)
    return Home(home)


def best_of(**fields: object) -> dict[str, object]:
    return {"cgan": {"variant": {"name": "cgan", "critic": NETWORK, **fields}, "best_of": "tuned"}}


def test_best_of_takes_the_tuned_fields_only(swept: Home, make_study: MakeStudy) -> None:
    """The study's width stays; the trial's rate comes in; the cost of the search stands in the report."""
    best = best_trial(load(swept, "tuned"))
    [chosen] = cells(make_study(seeds=[4], arms=best_of()), lambda name: tuned(swept, name))
    generator = chosen.config.variant.generator
    assert as_json(generator.network)["base_width"] == 4 and chosen.config.seed == 4
    assert generator.adam.learning_rate == best.params["variant.generator.adam.learning_rate"]
    both = best_of() | {"l1_only": {"variant": {"name": "regression"}}}
    assert compare(swept, make_study(seeds=[0], arms=both, baselines=[]), lambda text: None) == []
    shown = results.load(swept.store, swept.data, "fair")
    assert shown.settings["tuning"]["cgan"]["trials"] == 2
    assert any(
        "tuned unequally" in remark and "l1_only 0 trials" in remark for remark in remarks(shown)
    )
    assert (
        study_tables.readable_cost(study_tables.cost(shown))
        .set_index("arm")["tuning"]["cgan"]
        .startswith("2 trials, ")
    )


def test_best_of_refuses_what_was_tuned_otherwise(swept: Home, make_study: MakeStudy) -> None:
    other = {
        "batches": {"size": 8},
        "engine": {"device": "cpu", "precision": "32", "threads": 1},
        "variant": {"generator": NETWORK},
    }
    with pytest.raises(
        ColourbenchError, match=r"best_of=tuned was tuned with batches\.size=4, and the arm has 8"
    ):
        compare(swept, make_study(seeds=[0], arms=best_of(), defaults=other), lambda text: None)
    sweep = load(swept, "tuned")
    sweep.set_user_attr("trials", 40)
    with pytest.raises(ColourbenchError, match="has 2 of 40 trials"):
        compare(swept, make_study(seeds=[0], arms=best_of()), lambda text: None)
    sweep.set_user_attr("trials", 2)
    sweep.set_user_attr("dataset_sha256", "another")
    with pytest.raises(ColourbenchError, match="was tuned on another data set"):
        compare(swept, make_study(seeds=[0], arms=best_of()), lambda text: None)


def test_every_arm_is_tuned_with_the_same_effort(home: Path, make_study: MakeStudy) -> None:
    arms = {name: fields for name, fields in make_study().arms.items() if name != "egan"}
    declared = tune_arms(
        Home(home), make_study(arms=arms, seeds=[0]), Tuning(trials=2, images=16), lambda text: None
    )
    assert {name: fields["best_of"] for name, fields in declared.arms.items()} == {
        "l1_only": "fair-fields-32-l1_only",
        "cgan": "fair-fields-32-cgan",
    }
    assert compare(Home(home), declared, lambda text: None) == []
    shown = results.load(Home(home).store, Home(home).data, "fair")
    assert not any("unequally" in remark for remark in remarks(shown))
