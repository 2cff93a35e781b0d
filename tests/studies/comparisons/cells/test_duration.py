"""How long a study takes: before it starts, and while it runs."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from common.data.shards import Dataset
from studies.commands import compare as verb
from studies.comparisons.cells import duration
from studies.comparisons.cells.duration import in_words, measured_hours, time_left, unfinished
from studies.comparisons.cells.trained import planned_cells
from studies.comparisons.compare import CompareOptions, compare
from studies.comparisons.study import Study
from studies.home import Home

MakeStudy = Callable[..., Study]
ARMS = {"l1_only": {"variant": {"name": "regression"}}, "cgan": {"variant": {"name": "cgan"}}}


def run(arm: str, seconds: float) -> Any:
    return SimpleNamespace(tags={"arm": arm}, metrics={"seconds": seconds})


@pytest.fixture
def hours(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """An estimate of an hour for L1 and of three for others; collects the threads that were asked for."""
    threads: list[int | None] = []

    def estimated(dataset: Dataset, config: Any) -> Any:
        threads.append(config.engine.threads)
        return SimpleNamespace(hours=1.0 if config.variant.name == "regression" else 3.0)

    monkeypatch.setattr(duration, "estimate", estimated)
    return threads


def test_durations_are_said_as_a_person_would() -> None:
    assert [in_words(seconds) for seconds in (4.4, 150, 5_399, 5_400)] == [
        "4 s",
        "2 min",
        "90 min",
        "1.5 h",
    ]


def test_the_time_left_follows_each_arms_own_runs() -> None:
    finished = [run("a", 100), run("a", 300), run("b", 1000)]
    assert time_left(finished, ["a", "b", "b"]) == "about 37 min left"
    # an arm of which nothing is finished takes the mean of the others
    assert time_left(finished, ["c"]) == "about 10 min left"
    assert time_left(finished, ["a", "b", "b"], workers=2) == "about 18 min left"
    assert time_left([], ["a"]) == time_left(finished, []) == ""


def test_each_arm_is_measured_once_with_a_workers_share(
    home: Path, make_study: MakeStudy, hours: list[int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    study = make_study(arms=ARMS, seeds=[0, 1])
    dataset = Home(home).dataset(study.dataset)
    cells = planned_cells(Home(home), study, "")
    assert measured_hours(cells, dataset, workers=2) == (2 * 1.0 + 2 * 3.0) / 2
    assert hours == [4, 4]


def test_finished_runs_are_not_counted(home: Path, make_study: MakeStudy) -> None:
    study = make_study(arms={"l1_only": ARMS["l1_only"]}, seeds=[0, 1], baselines=[])
    opened = Home(home)
    dataset = opened.dataset(study.dataset)
    cells = planned_cells(opened, study, "")
    said: list[str] = []
    assert compare(opened, study, said.append, CompareOptions(pilot=1)) == []
    assert [cell.seed for cell in unfinished(opened.store, study.name, cells, dataset)] == [1]
    assert compare(opened, study, said.append) == []
    assert unfinished(opened.store, study.name, cells, dataset) == []
    assert any(
        text.startswith("run 2 of 2: l1_only seed 1, about ") and text.endswith(" left")
        for text in said
    )


@pytest.mark.parametrize("answer", [True, False])
def test_more_than_an_hour_is_asked_for(
    answer: bool,
    home: Path,
    make_study: MakeStudy,
    hours: list[int | None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[str] = []

    def confirm(text: str) -> bool:
        asked.append(text)
        return answer

    monkeypatch.setattr("typer.confirm", confirm)
    study = make_study(arms=ARMS, seeds=[0], baselines=[])
    if answer:
        verb._ask_for_hours(Home(home), study, CompareOptions())
    else:
        with pytest.raises(Exception, match="nothing was trained"):
            verb._ask_for_hours(Home(home), study, CompareOptions())
    assert asked == ["Start?"]
    assert "training takes about 4.0 h on this machine" in capsys.readouterr().out


def test_less_than_an_hour_is_not(
    home: Path, make_study: MakeStudy, hours: list[int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typer.confirm", lambda text: pytest.fail("asked"))
    study = make_study(arms={"l1_only": ARMS["l1_only"]}, seeds=[0], baselines=[])
    verb._ask_for_hours(Home(home), study, CompareOptions())


def test_images_are_short_for_the_budget() -> None:
    assert verb._all_changes(None, None) == []
    budget = ["budget.amount=2000", "budget.unit=images"]
    assert verb._all_changes(2000, None) == budget
    # what --set says comes last, and so it holds
    assert verb._all_changes(2000, ["budget.amount=1"]) == [*budget, "budget.amount=1"]
