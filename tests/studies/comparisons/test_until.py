"""`compare --until`: seeds join all arms alike, belong to the study from then on, and stop by width."""

from pathlib import Path
from typing import Any

import pytest

from analysis import results
from common.config import parse
from common.errors import ColourbenchError
from studies.comparisons import until
from studies.comparisons.compare import CompareOptions, compare
from studies.comparisons.study import Study
from studies.home import Home

NETWORK = {"network": {"base_width": 4}}


def study(**fields: Any) -> Study:
    data = {
        "name": "grows",
        "dataset": "fields-32",
        "budget": {"amount": 8, "unit": "images"},
        "seeds": [0, 1],
        "baselines": ["grey"],
        "defaults": {
            "batches": {"size": 4},
            "engine": {"threads": 1},
            "watch": {"validations": 1, "preview_images": 0},
        },
        "arms": {
            "l1": {"variant": {"name": "regression", "generator": NETWORK}},
            "l2": {"variant": {"name": "regression", "generator": NETWORK, "reconstruction": "l2"}},
        },
    }
    return parse(Study, data | fields, "study")


def test_more_seeds_are_new_ones_for_every_arm() -> None:
    arms = {
        "a": {"variant": {"name": "cgan"}},
        "b": {"like": "a", "seeds": [7, 8]},
        "c": {"variant": {"name": "egan"}},
    }
    grown = study(arms=arms).with_more_seeds(2)
    assert grown.seeds == (0, 1, 9, 11) and grown.arms["b"]["seeds"] == [7, 8, 10, 12]
    once = study(arms=arms).with_more_seeds(1)
    assert grown.seeds_of("a")[:3] == once.seeds_of("a") and grown.seeds_of("b")[
        :3
    ] == once.seeds_of("b")
    # no two arms make the same run
    assert parse(Study, grown.model_dump(), "grown") == grown
    assert study().with_more_seeds(0) == study()


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "nan", "inf"])
def test_a_rule_is_a_width_or_settled(text: str) -> None:
    with pytest.raises(ColourbenchError, match="say `settled`, or half of the interval"):
        until.rule(text, 9)


def test_rules_are_said_in_words() -> None:
    assert (
        until.rule("settled", 9).record(0)["text"] == "the margin is settled, or there are 9 seeds"
    )
    assert until.rule("0.5", 9).record(2) == {
        "half_width": 0.5,
        "most_seeds": 9,
        "text": "every interval is ± 0.5 or narrower, or there are 9 seeds",
        "added": 2,
    }


def test_a_study_grows_until_its_intervals_are_narrow_and_keeps_what_it_grew(home: Path) -> None:
    rooms, said = Home(home), list[str]()
    assert compare(rooms, study(), said.append, CompareOptions(until=until.rule("1000", 9))) == []
    study_results = results.load(rooms.store, rooms.data, "grows")
    # five at least, and a third more
    assert len(study_results.runs_of("l1")) == len(study_results.runs_of("l2")) == 7
    assert "7 seeds: with 5 every interval was as narrow as ± 1e+03" in said[-1] and said[
        -1
    ].endswith("enough")

    before = {run.id for run in study_results.trained}
    # the plain command drops none of them
    assert compare(rooms, study(), said.append) == []
    study_results = results.load(rooms.store, rooms.data, "grows")
    assert {run.id for run in study_results.trained} == before and study_results.settings["until"][
        "added"
    ] == 5
    assert any(
        "5 seeds were added to each arm before (--until); they stay" in line for line in said
    )


def test_the_cap_ends_it(home: Path) -> None:
    said = list[str]()
    assert (
        compare(Home(home), study(), said.append, CompareOptions(until=until.rule("settled", 3)))
        == []
    )
    assert "3 seeds" in said[-1] and "not reached with --most-seeds 3" in said[-1]


def test_one_trained_arm_has_no_interval(home: Path) -> None:
    arms = {"l1": {"variant": {"name": "regression", "generator": NETWORK}}}
    with pytest.raises(ColourbenchError, match="this study trains only one"):
        compare(
            Home(home),
            study(arms=arms, seeds=[0]),
            lambda text: None,
            CompareOptions(until=until.rule("settled", 3)),
        )
