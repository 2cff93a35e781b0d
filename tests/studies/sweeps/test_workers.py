"""Several workers on one sweep, killed at random: every trial ends once, on SQLite and on a real PostgreSQL."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from common.colour.metrics import METRICS
from common.config import parse
from common.errors import ColourbenchError
from common.loop.engine import Engine
from common.loop.training import Progress
from studies.home import Home
from studies.runs import training
from studies.runs.configuration import RunConfig
from studies.runs.session import Session
from studies.sweeps import claims, spaces, sweep
from studies.sweeps.launcher import run_sweep
from studies.sweeps.sweep import Sweep
from variants.contract.ranges import Number
from variants.registry import variant_class

KILLS = int(os.environ.get("COLOURBENCH_KILLS", "4"))
WORKERS = int(os.environ.get("COLOURBENCH_WORKERS", "2"))
pytestmark = pytest.mark.usefixtures("without_registry")


def config(**fields: object) -> RunConfig:
    network = {"network": {"base_width": 4}}
    data = {
        "variant": {"name": "cgan", "generator": network, "critic": network},
        "dataset": "fields-32",
        "budget": {"amount": 32, "unit": "images"},
        "batches": {"size": 4},
        "engine": {"device": "cpu", "precision": "32", "threads": 1},
        "watch": {
            "validations": 4,
            "validation_images": 8,
            "preview_images": 0,
            "checkpoint_seconds": 0.05,
        },
    }
    return parse(RunConfig, data | fields)


def quiet(_: str) -> None:
    pass


def launch(home: Path, order: Sweep, workers: int) -> "subprocess.Popen[bytes]":
    code = (
        "import sys; from pathlib import Path; from studies.home import Home; from studies.sweeps.sweep import Sweep; "
        "from studies.sweeps.launcher import run_sweep; "
        f"run_sweep(Home(Path(sys.argv[1])), Sweep.model_validate_json(sys.argv[2]), print, workers={workers})"
    )
    with (home / "launcher.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", code, str(home), order.model_dump_json()], stdout=log, stderr=log
        )


def workers_of(home: Path) -> list[int]:
    """Processes that work on this home."""
    listed = subprocess.run(
        ["pgrep", "-f", f"studies.sweeps.launcher {home}"],
        capture_output=True,
        text=True,
        check=False,
    )
    return [int(line) for line in listed.stdout.split()]


def check_every_trial_ended_once(home: Path, order: Sweep) -> Counter[str]:
    trials = sweep.load(Home(home), order.name, order.storage).trials
    states = Counter(trial.state.name for trial in trials)
    finished = [trial for trial in trials if trial.state in claims.FINAL]
    assert len(finished) == order.trials, states
    assert not states["RUNNING"] and not states["WAITING"], states
    runs = [trial.user_attrs["run"] for trial in finished]
    # a trial that was tried again is the same run, and ends once
    assert len(set(runs)) == order.trials
    [parent] = Home(home).store.find(order.name, {"kind": "sweep"})
    children = Home(home).store.find(order.name, {"mlflow.parentRunId": parent.id})
    assert Counter(run.tags["trial"] for run in children).most_common(1)[0][1] == 1
    assert {run.status for run in children} <= {
        "FINISHED",
        "KILLED",
    } and parent.status == "FINISHED"
    return states


@pytest.mark.integration
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_kills_at_random_moments(store: str, home: Path, request: pytest.FixtureRequest) -> None:
    """kill -9 of workers, and every fourth time of the launcher, until the sweep is done."""
    storage = request.getfixturevalue("postgres") if store == "postgresql" else ""
    order = Sweep(
        name="s",
        base=config(budget={"amount": 400, "unit": "images"}),
        trials=3 + KILLS // 2,
        storage=storage,
    )
    draw, kills, began = random.Random(0), 0, time.monotonic()
    process = launch(home, order, workers=WORKERS)
    while process.poll() is None and kills < KILLS and time.monotonic() - began < 60 * KILLS:
        time.sleep(draw.uniform(2.0, 9.0))
        victims = workers_of(home)
        if kills % 4 == 3:
            process.kill()
            process.wait()
            kills += 1
            process = launch(home, order, workers=WORKERS)
        elif victims:
            os.kill(draw.choice(victims), signal.SIGKILL)
            kills += 1
    assert process.wait(timeout=300) == 0, (home / "launcher.log").read_text()
    while workers_of(home):  # those whose launcher was killed end by themselves
        time.sleep(0.5)
    states = check_every_trial_ended_once(home, order)
    print(f"{store}: {kills} kills, {dict(states)}")
    assert kills >= KILLS // 2


@pytest.mark.integration
def test_workers_share_the_trials(home: Path) -> None:
    order = Sweep(name="s", base=config(), trials=4, pruner="none")
    said: list[str] = []
    best = run_sweep(Home(home), order, said.append, workers=2)
    check_every_trial_ended_once(home, order)
    trials = sweep.load(Home(home), "s").trials
    assert best.value == min(trial.value for trial in trials if trial.value is not None)
    owners = {tuple(trial.user_attrs["owner"]) for trial in trials}
    assert len(owners) == 2
    # workers have seeds of their own
    assert len({tuple(trial.params.items()) for trial in trials}) == 4
    assert sum(" of 4: trial " in line for line in said) == 4


def test_a_dead_owner_is_seen_and_a_live_one_left_alone() -> None:
    study = optuna.create_study()
    live, dead, claimless = study.ask(), study.ask(), study.ask()
    live.set_user_attr("owner", claims._me())
    gone = subprocess.Popen(["true"])
    gone.wait()
    dead.set_user_attr("owner", [claims._me()[0], gone.pid, "12345"])
    dead.set_user_attr("run", 7)
    elsewhere, older = study.ask(), study.ask()
    elsewhere.set_user_attr("owner", ["another-host", 1, "1"])
    # as an earlier version wrote it: not this process
    older.set_user_attr("owner", [claims._me()[0], os.getpid(), "12345"])
    assert claims.revive_the_dead(study) == 3
    states = [trial.state for trial in study.trials]
    assert (
        states[live.number] == TrialState.RUNNING and states[elsewhere.number] == TrialState.RUNNING
    )
    assert (
        states[dead.number] == states[claimless.number] == states[older.number] == TrialState.FAIL
    )
    assert sorted(t.user_attrs["run"] for t in study.trials if t.state == TrialState.WAITING) == [
        2,
        older.number,
        7,
    ]
    assert claims.revive_the_dead(study) == 0


def test_no_more_trials_are_claimed_than_wanted(tmp_path: Path) -> None:
    study = optuna.create_study()
    first = claims.claim(study, tmp_path / "lock", trials=1)
    assert first is not None
    # somebody is at it
    assert claims.claim(study, tmp_path / "lock", trials=1, until=time.time() + 0.1) is None
    study.tell(first, 1.0)
    assert claims.claim(study, tmp_path / "lock", trials=1) is None


def test_time_is_up(home: Path) -> None:
    with pytest.raises(ColourbenchError, match="no completed trial yet"):
        run_sweep(Home(home), Sweep(name="s", base=config(), trials=5), quiet, hours=0.0)
    assert sum(t.state != TrialState.WAITING for t in sweep.load(Home(home), "s").trials) == 0


def test_several_objectives_give_a_front(home: Path) -> None:
    order = Sweep(
        name="s", base=config(), trials=3, objectives=("delta_e", "seconds"), sampler="random"
    )
    best = run_sweep(Home(home), order, quiet)
    study = sweep.load(Home(home), "s")
    assert all(len(trial.values) == 2 and trial.values[1] > 0 for trial in study.trials)
    assert best.values[0] == min(trial.values[0] for trial in study.trials)
    values = {trial.number: trial.values for trial in study.trials}
    beaten = {
        number
        for number, (error, seconds) in values.items()
        for other, (least, fastest) in values.items()
        if other != number and least <= error and fastest <= seconds
    }
    assert {trial.number for trial in study.best_trials} == set(values) - beaten


def test_limits_keep_a_trial_from_winning(home: Path) -> None:
    order = Sweep(
        name="s", base=config(), trials=2, max_seconds=1e-6, sampler="random", pruner="none"
    )
    with pytest.raises(ColourbenchError, match="no completed trial"):
        run_sweep(Home(home), order, quiet)
    assert all(
        trial.user_attrs["limits"]["seconds"] > 0 for trial in sweep.load(Home(home), "s").trials
    )


def scored_by_trial(monkeypatch: pytest.MonkeyPatch, errors: list[float]) -> None:
    """Makes ΔE₀₀ at every validation a function of the trial's number alone."""

    def score(session: Session, progress: Progress) -> dict[str, float]:
        error = errors[int(session.run.tags["trial"])]
        session.run.log({"validation/delta_e": error}, progress.images)
        return {**dict.fromkeys(METRICS, 0.0), "delta_e": error}

    monkeypatch.setattr(training, "_score", score)


def test_a_better_trial_beyond_the_limit_does_not_win(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored_by_trial(monkeypatch, [5.0, 9.0, 7.0])
    peaks = iter([3e9, 1e9, 1e9])
    monkeypatch.setattr(Engine, "peak_memory", lambda self: next(peaks))
    order = Sweep(name="s", base=config(), trials=3, max_memory_gb=2.0, pruner="none")
    best = run_sweep(Home(home), order, quiet)
    assert best.value == 7.0
    assert [
        trial.user_attrs["limits"]["peak_memory_gb"] for trial in sweep.load(Home(home), "s").trials
    ] == [1.0, -1.0, -1.0]


def test_hopeless_trials_are_pruned_and_cost_less(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored_by_trial(monkeypatch, [5.0, 6.0, 9.0, 4.0])
    run_sweep(Home(home), Sweep(name="s", base=config(), trials=4), quiet)
    trials = sweep.load(Home(home), "s").trials
    assert [trial.state for trial in trials] == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.PRUNED,
        TrialState.COMPLETE,
    ]
    runs = Home(home).store.find("s", {"kind": "trial"})
    assert [run.status for run in runs] == ["FINISHED", "KILLED", "KILLED", "FINISHED"]
    # of 32 images: the second of four validations
    assert max(trials[1].intermediate_values) == 16


def test_hyperband_gives_a_ninth_a_third_and_all_of_the_budget() -> None:
    pruner = sweep._pruner(
        Sweep(
            name="s",
            base=config(budget={"amount": 900, "unit": "images"}),
            trials=9,
            pruner="hyperband",
        )
    )
    study = optuna.create_study(pruner=pruner)
    study.tell(study.ask(), 1.0)  # Hyperband makes its brackets with the first trial
    assert isinstance(pruner, optuna.pruners.HyperbandPruner)
    assert (pruner._min_resource, pruner._max_resource, pruner._reduction_factor) == (100, 900, 3)


def test_the_winner_is_the_best_over_seeds(home: Path) -> None:
    order = Sweep(name="s", base=config(), trials=2, repeats=2, finalists=2, pruner="none")
    best = run_sweep(Home(home), order, quiet)
    study = sweep.load(Home(home), "s")
    means = {int(number): mean for number, mean in study.user_attrs["means_over_seeds"].items()}
    assert best.number == min(means, key=lambda number: means[number]) and len(means) == 2
    repeats = Home(home).store.find("s", {"kind": "repeat"})
    assert sorted(run.tags["seed"] for run in repeats) == ["1", "1"]
    for run in repeats:
        trial = next(t for t in study.trials if str(t.user_attrs["run"]) == run.tags["trial"])
        assert means[trial.number] == pytest.approx(
            (trial.values[0] + run.metrics["validation/delta_e"]) / 2
        )


@pytest.mark.parametrize("sampler", ["gp", "cmaes", "grid"])
def test_samplers(sampler: str, home: Path) -> None:
    ranges = {
        "variant.reconstruction_weight": {"low": 10.0, "high": 1000.0},
        "variant.reconstruction.loss": {"options": ["l1", "l2"]},
    }
    ranges |= {path: None for path in variant_class("cgan").space if path not in ranges}
    order = parse(
        Sweep,
        {
            "name": "s",
            "base": config().model_dump(mode="json"),
            "trials": 3,
            "sampler": sampler,
            "space": ranges,
        },
    )
    run_sweep(Home(home), order, quiet)
    study = sweep.load(Home(home), "s")
    assert all(
        set(trial.params) == {"variant.reconstruction_weight", "variant.reconstruction.loss"}
        for trial in study.trials
    )
    if sampler == "grid":
        weights = sorted(
            {round(trial.params["variant.reconstruction_weight"]) for trial in study.trials}
        )
        assert set(weights) <= {10, 100, 1000}


def test_spaces_narrow_widen_and_depend() -> None:
    space = spaces.space_of(
        "cgan",
        {
            "variant.generator.adam.learning_rate": {"high": 1e-3},
            "variant.critic.adam.learning_rate": None,
        },
    )
    rate = space["variant.generator.adam.learning_rate"]
    assert isinstance(rate, Number) and (rate.low, rate.high, rate.log) == (5e-5, 1e-3, True)
    assert "variant.critic.adam.learning_rate" not in space
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        chosen = spaces.suggest(space, study.ask())
        assert ("variant.generator.adam.decay_from" in chosen) == (
            chosen["variant.generator.adam.decay"] == "linear"
        )
    for changes, reason in (
        ({"variant.a": {"low": 2.0, "high": 1.0}}, "is not below"),
        ({"variant.a": {"low": 0.0, "high": 1.0, "log": True}}, "needs low above 0"),
        (dict.fromkeys(variant_class("cgan").space), "is empty"),
    ):
        with pytest.raises(ColourbenchError, match=reason):
            spaces.space_of("cgan", changes)
    with pytest.raises(
        ColourbenchError, match=r"not a field of this run; did you mean variant\.critic\.real_label"
    ):
        Sweep(
            name="s",
            base=config(),
            trials=1,
            space={"variant.critic.real_labels": {"low": 0.8, "high": 1.0}},
        ).search_space()


def test_a_sweep_by_features_does_not_become_one_by_l1() -> None:
    base = config(variant={"name": "regression", "reconstruction": {"loss": "huber", "delta": 0.1}})
    space = Sweep(name="s", base=base, trials=1).search_space()
    assert (
        "variant.reconstruction.loss" not in space
        and "variant.generator.adam.learning_rate" in space
    )


def test_wrong_stores_are_told_plainly(home: Path, request: pytest.FixtureRequest) -> None:
    from optuna.storages import RDBStorage

    old = home / "old.db"
    RDBStorage(f"sqlite:///{old}")
    import sqlite3

    with sqlite3.connect(old) as database:
        database.execute("UPDATE alembic_version SET version_num = 'v0.9.0.a'")
    for url in (f"sqlite:///{old}", "nonsense://x", "sqlite:////no/such/folder/x.db"):
        with pytest.raises(ColourbenchError, match="cannot open the sweeps' store"):
            run_sweep(Home(home), Sweep(name="s", base=config(), trials=1, storage=url), quiet)
    url = request.getfixturevalue("postgres").replace("/postgres", "/nowhere")
    with pytest.raises(ColourbenchError) as error:
        run_sweep(Home(home), Sweep(name="s", base=config(), trials=1, storage=url), quiet)
    assert "nowhere" in str(error.value) and "secret" not in str(error.value)
