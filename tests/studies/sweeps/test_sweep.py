"""Sweeps: resumed after kills, pruned, honest about failures, and never looking at the test split."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from common.config import flatten, parse
from common.errors import ColourbenchError
from studies.home import Home
from studies.runs.configuration import RunConfig
from studies.sweeps import claims, status, sweep, worker
from studies.sweeps.launcher import run_sweep
from studies.sweeps.outcome import tuned
from studies.sweeps.sweep import Sweep
from variants.contract.ranges import Number
from variants.registry import CLASSES, variant_class

pytestmark = pytest.mark.usefixtures("without_registry")


def config(variant: str = "cgan", **fields: object) -> RunConfig:
    network = {"network": {"base_width": 4}}
    data = {
        "variant": {"name": variant, "generator": network, "critic": network},
        "dataset": "fields-32",
        "budget": {"amount": 24, "unit": "images"},
        "batches": {"size": 4},
        "engine": {"device": "cpu", "precision": "32", "threads": 1},
        "watch": {"validations": 3, "preview_images": 0, "checkpoint_seconds": 1e-3},
    }
    return parse(RunConfig, data | fields)


def quiet(_: str) -> None:
    pass


def test_a_sweep_ends_with_its_trials_in_both_stores(home: Path) -> None:
    rooms = Home(home)
    best = run_sweep(rooms, Sweep(name="s", base=config(), trials=5), quiet)
    study = sweep.load(rooms, "s")
    states = [trial.state for trial in study.trials]
    assert len(states) == 5 and set(states) <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert best.value == min(t.value for t in study.trials if t.value is not None)
    [parent] = rooms.store.find("s", {"kind": "sweep"})
    children = rooms.store.find("s", {"mlflow.parentRunId": parent.id})
    assert len(children) == 5 and parent.status == "FINISHED"
    assert [run.tags["trial"] for run in children] == ["0", "1", "2", "3", "4"]
    by_state = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED"}
    assert [run.status for run in children] == [by_state[state] for state in states]
    # the test split is not for choosing
    assert not any(key.startswith("test/") for run in children for key in run.metrics)
    assert "Best: delta_e" in rooms.store.run(parent.id).tags["mlflow.note.content"]


def test_the_first_trial_is_the_papers_preset(home: Path) -> None:
    run_sweep(Home(home), Sweep(name="s", base=config(), trials=1), quiet)
    [trial] = sweep.load(Home(home), "s").trials
    assert (
        trial.params["variant.generator.adam.learning_rate"] == 2e-4
        and trial.params["variant.reconstruction_weight"] == 100.0
    )


def test_the_same_command_adds_nothing_and_more_trials_go_on(home: Path) -> None:
    for trials, expected in ((2, 2), (2, 2), (4, 4)):
        run_sweep(Home(home), Sweep(name="s", base=config(), trials=trials), quiet)
        study = sweep.load(Home(home), "s")
        assert len(study.trials) == expected
    rates = [trial.params["variant.generator.adam.learning_rate"] for trial in study.trials]
    assert len(set(rates)) == 4  # a resumed sampler does not repeat itself


def test_same_seed_same_sweep(tmp_path: Path, home: Path) -> None:
    import shutil

    shutil.copytree(home, tmp_path / "again")
    values = []
    for folder in (home, tmp_path / "again"):
        run_sweep(Home(folder), Sweep(name="s", base=config(), trials=3), quiet)
        values.append(
            [(trial.params, trial.value) for trial in sweep.load(Home(folder), "s").trials]
        )
    assert values[0] == values[1]


SWEEP = """
import sys
from pathlib import Path
from common.config import parse
from studies.home import Home
from studies.runs.configuration import RunConfig
from studies.sweeps.sweep import Sweep
from studies.sweeps.launcher import run_sweep
run_sweep(Home(Path(sys.argv[1])), Sweep(name="s", base=RunConfig.model_validate_json(sys.argv[2]), trials=int(sys.argv[3])), print)
"""


def wait_for_a_trial_of(process: "subprocess.Popen[bytes]", home: Path) -> None:
    """Waits until a launcher that was just started works on a trial of its own."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None
        with suppress(ColourbenchError):
            trials = sweep.load(Home(home), "s").trials
            if any(
                trial.state == TrialState.RUNNING
                and trial.user_attrs.get("owner", [0, 0])[1] == process.pid
                for trial in trials
            ):
                return
        time.sleep(0.2)
    raise TimeoutError


def finished_trials(home: Path) -> list[optuna.trial.FrozenTrial]:
    """The trials of sweep "s" that ended by themselves."""
    trials = sweep.load(Home(home), "s").trials
    return [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]


@pytest.mark.integration  # minutes: it waits for kills to come at every stage of a start
def test_every_trial_ends_once_whatever_is_killed(home: Path) -> None:
    """SIGKILLs of the launcher at random moments; a last one ends two trials more than it finds."""
    draw = random.Random(1)
    settings = config(budget={"amount": 400, "unit": "images"})
    # more trials than any machine ends in time: every kill hits a launcher at work
    command = [sys.executable, "-c", SWEEP, str(home), settings.model_dump_json(), "1000"]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    for _ in range(4):
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for_a_trial_of(process, home)
        time.sleep(draw.uniform(0, 8))
        assert process.poll() is None  # the kill hits something
        process.send_signal(signal.SIGKILL)
        process.wait()
    asked = len(finished_trials(home)) + 2
    run_sweep(Home(home), Sweep(name="s", base=settings, trials=asked), quiet)
    trials = sweep.load(Home(home), "s").trials
    finished = finished_trials(home)
    assert len(finished) == asked
    assert not [
        trial for trial in trials if trial.state in (TrialState.RUNNING, TrialState.WAITING)
    ]
    runs = [trial.user_attrs["run"] for trial in finished]
    # a trial that was tried again is the same run, and counts once
    assert len(set(runs)) == asked
    dead = [trial for trial in trials if trial.state == TrialState.FAIL]
    given_up = [
        trial.user_attrs["run"]
        for trial in dead
        if trial.user_attrs.get("kills", 0) + 1 >= claims.MOST_KILLS
    ]
    for trial in dead:  # a kill may come before a trial has all its settings
        went_on = any(trial.params.items() <= other.params.items() for other in finished)
        assert went_on or trial.user_attrs.get("run") in given_up
    [parent] = Home(home).store.find("s", {"kind": "sweep"})
    children = Home(home).store.find("s", {"mlflow.parentRunId": parent.id})
    assert {run.status for run in children} <= {"FINISHED", "KILLED"} and len(children) == asked


def test_failures_are_told_and_three_in_a_row_stop(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ColourbenchError("out of memory with batches.size=4")

    monkeypatch.setattr(worker, "train_run", broken)
    said: list[str] = []
    with pytest.raises(
        ColourbenchError, match=r"three trials in a row failed; the last one: out of memory"
    ):
        run_sweep(Home(home), Sweep(name="s", base=config(), trials=5), said.append)
    assert sum("failed: out of memory" in line for line in said) == 3
    assert {trial.state for trial in sweep.load(Home(home), "s").trials} == {TrialState.FAIL}


def test_another_sweep_under_the_same_name_is_refused(home: Path) -> None:
    run_sweep(Home(home), Sweep(name="s", base=config(), trials=1), quiet)
    with pytest.raises(
        ColourbenchError, match=r"exists with another base \(batches\.size was 4 and is 2\)"
    ):
        run_sweep(Home(home), Sweep(name="s", base=config(batches={"size": 2}), trials=1), quiet)
    with pytest.raises(ColourbenchError, match="another"):
        run_sweep(
            Home(home), Sweep(name="s", base=config(), trials=1, objectives=("psnr_rgb",)), quiet
        )


RATE = "variant.generator.adam.learning_rate"


@pytest.mark.parametrize(("low", "high"), [(1e-4, 3e-4), (1e-6, 1e-2)], ids=["narrowed", "widened"])
def test_another_space_takes_over_the_trials_that_lie_in_it(
    low: float, high: float, home: Path
) -> None:
    rooms = Home(home)
    run_sweep(rooms, Sweep(name="s", base=config(), trials=4, pruner="none"), quiet)
    ranges = {RATE: {"low": low, "high": high, "log": True}}
    with pytest.raises(
        ColourbenchError, match="add --continues s to take over the trials that lie in both"
    ):
        run_sweep(
            rooms, Sweep(name="s", base=config(), trials=4, pruner="none", space=ranges), quiet
        )
    old = [trial for trial in sweep.load(rooms, "s").trials if low <= trial.params[RATE] <= high]
    assert old  # the first has pix2pix's learning rate of 2e-4
    other = Sweep(
        name="other", base=config(), trials=len(old) + 1, pruner="none", space=ranges, continues="s"
    )
    run_sweep(rooms, other, quiet)
    trials = sweep.load(rooms, "other").trials
    assert [trial.values for trial in trials[: len(old)]] == [trial.values for trial in old]
    # the cost of tuning stays told
    assert [trial.duration for trial in trials[: len(old)]] == [trial.duration for trial in old]
    assert len(trials) == len(old) + 1 and low <= trials[-1].params[RATE] <= high
    assert [trial.user_attrs["run"] for trial in trials] == list(range(len(trials)))


def test_what_a_sweep_cannot_take_over_is_refused(home: Path) -> None:
    rooms = Home(home)
    run_sweep(rooms, Sweep(name="s", base=config(), trials=1), quiet)
    with pytest.raises(
        ColourbenchError,
        match=r"--continues s: it had another base \(batches.size was 4 and is 2\)",
    ):
        run_sweep(
            rooms, Sweep(name="t", base=config(batches={"size": 2}), trials=1, continues="s"), quiet
        )
    far = {RATE: {"low": 1e-7, "high": 1e-6}}
    with pytest.raises(
        ColourbenchError, match="none of its ended trials lies in this search space"
    ):
        run_sweep(rooms, Sweep(name="u", base=config(), trials=1, continues="s", space=far), quiet)


def test_a_sweep_from_before_a_field_existed_goes_on_with_its_default(home: Path) -> None:
    run_sweep(Home(home), Sweep(name="s", base=config(), trials=1), quiet)
    study = sweep.load(Home(home), "s")
    base = study.user_attrs["base"]
    assert base["engine"].pop("fast") is True
    study.set_user_attr("base", base)
    engine = {"device": "cpu", "precision": "32", "threads": 1, "fast": False}
    with pytest.raises(
        ColourbenchError, match=r"exists with another base \(engine\.fast was True and is False\)"
    ):
        run_sweep(Home(home), Sweep(name="s", base=config(engine=engine), trials=2), quiet)
    run_sweep(Home(home), Sweep(name="s", base=config(), trials=2), quiet)
    assert len(sweep.load(Home(home), "s").trials) == 2


def test_wrong_objective_and_store(home: Path) -> None:
    with pytest.raises(ValueError, match="the objectives are psnr_rgb"):
        Sweep(name="s", base=config(), trials=1, objectives=("fid",))
    with pytest.raises(ColourbenchError) as error:
        run_sweep(
            Home(home),
            Sweep(
                name="s", base=config(), trials=1, storage="postgresql://me:secret@127.0.0.1:1/x"
            ),
            quiet,
        )
    assert "cannot open the sweeps' store postgresql://me:…@127.0.0.1:1/x" in str(
        error.value
    ) and "secret" not in str(error.value)


def test_what_a_sweep_found_is_the_fields_that_it_varied(home: Path) -> None:
    rooms = Home(home)
    best = run_sweep(rooms, Sweep(name="s", base=config("egan"), trials=2), quiet)
    found = tuned(rooms, "s")
    assert flatten(found.fields) == best.params
    assert found.base["variant"]["name"] == "egan" and found.trials == 2 and 0 < found.images <= 48
    with pytest.raises(ColourbenchError, match="no sweep 'none'"):
        tuned(rooms, "none")


def test_history_is_readable(home: Path) -> None:
    rooms = Home(home)
    assert status.text(rooms, None) == "no sweep yet"
    run_sweep(rooms, Sweep(name="s", base=config(), trials=2), quiet)
    text = status.text(rooms, "s")
    assert text.splitlines()[0].endswith("; objectives: delta_e")
    assert sum(line.startswith("*") for line in text.splitlines()) == 1


def test_spaces_are_suggested_within_their_bounds() -> None:
    from studies.sweeps.spaces import suggest

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for space in [variant_class(name).space for name in CLASSES]:
        values = [suggest(space, study.ask()) for _ in range(20)]
        for path, axis in space.items():
            for suggested in values:
                if path not in suggested:
                    assert axis.when, path
                    continue
                inside = (
                    axis.low <= suggested[path] <= axis.high
                    if isinstance(axis, Number)
                    else suggested[path] in axis.options
                )
                assert inside, path
