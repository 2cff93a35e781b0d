"""The door to MLflow against MLflow itself."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from urllib.parse import parse_qs

import mlflow
import pytest

from common.errors import ColourbenchError
from common.tracking import Store, model_name, page_of, redacted, ui_command


def test_runs_carry_study_tags_parameters_and_parent(store: Store) -> None:
    parent = store.open_run("study", "parent", {"kind": "comparison", "config_sha256": "p"}, {})
    child = store.open_run(
        "study",
        "child",
        {"variant": "x", "config_sha256": "c"},
        {"a.b": 1, "long": "x" * 9000},
        parent,
    )
    recorded = mlflow.MlflowClient(store.uri).get_run(child.id)
    assert (
        recorded.data.tags["mlflow.parentRunId"] == parent.id
        and recorded.data.tags["study"] == "study"
    )
    assert recorded.data.params["a.b"] == "1" and len(recorded.data.params["long"]) == 6000
    assert store.find("study", {"variant": "x"})[0].id == child.id


def test_a_run_is_known_by_name_and_settings(store: Store) -> None:
    first = store.open_run("study", "run", {"config_sha256": "1"}, {})
    assert store.open_run("study", "run", {"config_sha256": "1"}, {}).id == first.id
    assert store.open_run("study", "run", {"config_sha256": "2"}, {}).id != first.id


def test_metrics_are_buffered_and_more_than_one_batch_is_logged(store: Store) -> None:
    run = store.open_run("study", "run", {"config_sha256": "1"}, {})
    for step in range(1500):
        run.log({"loss": step / 2}, step)
    assert run.history("loss") == []
    run.flush()
    assert [(item.step, item.value) for item in run.history("loss")] == [
        (step, step / 2) for step in range(1500)
    ]


def test_a_kill_after_the_checkpoint_loses_no_metric_and_repeats_none(store: Store) -> None:
    run = store.open_run("study", "run", {"config_sha256": "1"}, {})
    run.log({"loss": 1.0, "other": 5.0}, 10)
    run.flush()
    for step in (20, 30):
        run.log({"loss": float(step)}, step)
    # what the checkpoint holds; then the process dies, after some rows or none reached the store
    saved = run.pending()
    reached = store.run(run.id)
    reached.log({"loss": 20.0}, 20)
    reached.flush()
    resumed = store.open_run("study", "run", {"config_sha256": "1"}, {})
    resumed.restore(saved)
    assert [item.step for item in resumed.history("loss")] == [10, 20, 30]


def test_runs_are_found_by_id_its_start_and_name(store: Store) -> None:
    run = store.open_run("study", "my run", {"config_sha256": "1"}, {})
    store.open_run("study", "other", {"config_sha256": "2"}, {})
    assert (
        store.run(run.id).id == store.run(run.id[:12]).id == store.run("study/my run").id == run.id
    )
    with pytest.raises(ColourbenchError, match="no run 'zzz'"):
        store.run("zzz")
    with pytest.raises(ColourbenchError, match="fits 2 runs"):
        store.run("")


def test_files_lie_in_mlflows_own_artifact_folder(store: Store) -> None:
    run = store.open_run("study", "run", {"config_sha256": "1"}, {})
    (run.folder / "table.csv").write_text("a,b\n")
    assert [item.path for item in mlflow.MlflowClient(store.uri).list_artifacts(run.id)] == [
        "table.csv"
    ]


def test_status_and_note(store: Store) -> None:
    run = store.open_run("study", "run", {"config_sha256": "1"}, {})
    run.note("**what came out**")
    run.finish("FAILED")
    again = store.run(run.id)
    assert again.status == "FAILED" and again.tags["mlflow.note.content"] == "**what came out**"
    assert store.open_run("study", "run", {"config_sha256": "1"}, {}).id == run.id
    assert store.run(run.id).status == "RUNNING"  # taken up again


OPEN = "from common.tracking import Store; Store(home).experiment('s')"


@pytest.mark.integration
def test_many_processes_may_open_a_fresh_store_at_once(
    tmp_path: Path, child: Callable[..., BaseProcess]
) -> None:
    processes = [child(OPEN, home=tmp_path) for _ in range(3)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]


def test_a_store_that_cannot_be_opened_does_not_show_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@127.0.0.1:1/db")
    with pytest.raises(ColourbenchError) as error:
        Store(tmp_path)
    assert "postgresql://me:…@127.0.0.1:1/db" in str(error.value) and "secret" not in str(
        error.value
    )


def test_more_studies_than_a_page_of_answers_holds(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"study {number}" for number in range(5)]
    for name in names:
        store.open_run(name, "run", {"config_sha256": name}, {})
    whole = store._client.search_experiments
    monkeypatch.setattr(store._client, "search_experiments", partial(whole, max_results=2))
    assert store.studies() == names


def test_redaction() -> None:
    assert redacted("postgresql://u:p@h/d") == "postgresql://u:…@h/d"
    assert redacted("sqlite:///x.db") == "sqlite:///x.db"


def test_the_ui_opens_at_a_studys_runs(store: Store) -> None:
    """Grouped by arm if they are a comparison's; the view is a tag of the experiment, as the UI's own button makes it."""
    store.open_run("study", "comparison", {"kind": "comparison", "config_sha256": "a"}, {}).finish()
    store.open_run("sweep", "trial", {"kind": "trial", "config_sha256": "a"}, {}).finish()
    number = store.share_view("study")
    address = page_of(number, 5001)
    assert address.startswith(f"http://127.0.0.1:5001/#/experiments/{number}/runs?")
    asked = parse_qs(address.partition("?")[2])
    assert asked == {"viewStateShareKey": ["colourbench"], "compareRunsMode": ["CHART"]}
    tag = f"mlflow.sharedViewState.{asked['viewStateShareKey'][0]}"
    grouped = {}
    columns = {}
    for study in ("study", "sweep"):
        experiment = store._client.get_experiment(store.share_view(study))
        state = json.loads(experiment.tags[tag])
        grouped[study] = state["groupBy"]
        assert state["searchFilter"] == "tags.kind != 'comparison' and tags.kind != 'sweep'"
        columns[study] = state["selectedColumns"]
    assert grouped["study"]["groupByKeys"] == [{"mode": "tag", "groupByData": "arm"}]
    assert grouped["sweep"] is None
    assert "tags.`arm`" in columns["study"]
    assert "tags.`outcome`" in columns["sweep"]
    with pytest.raises(ColourbenchError, match=r"no study 'none' \(known: study, sweep\)"):
        store.share_view("none")


def test_the_ui_is_served_on_this_machine_only(store: Store) -> None:
    command = ui_command(store, 5001)
    assert command[command.index("--host") + 1] == "127.0.0.1" and store.uri in command


def test_what_the_machine_does_is_logged_and_is_no_metric_of_the_training(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    run = store.open_run("study", "run", {"config_sha256": "1"}, {})
    for _ in range(2):  # a resumed run goes on where the curves ended
        with run.watch_machine():
            time.sleep(0.6)
    seen = store.run(run.id).history("system/cpu_utilization_percentage")
    assert len(seen) > 3 and [value.step for value in seen] == list(range(len(seen)))
    assert "system/system_memory_usage_megabytes" in store.run(run.id).metrics
    assert store.run(run.id).logged() == []
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    with run.watch_machine():
        time.sleep(0.2)
    assert len(store.run(run.id).history("system/cpu_utilization_percentage")) == len(seen)


def test_a_half_made_store_says_what_to_do(tmp_path: Path) -> None:
    """As a kill in the first seconds left it before stores appeared whole."""
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.execute("CREATE TABLE trace_info (x INTEGER)")
    with pytest.raises(ColourbenchError, match=r"only half made .* move the file away"):
        Store(tmp_path)


KILLED = """
import os, signal, sys, threading, time
from pathlib import Path
from mlflow.store.tracking import sqlalchemy_store  # imported once: each kill is to come while a store is made
from common.tracking import Store
for number in range(50):
    child = os.fork()
    if child == 0:
        delay = 0.05 + 0.04 * number
        threading.Thread(target=lambda: (time.sleep(delay), os.kill(os.getpid(), signal.SIGKILL)), daemon=True).start()
        Store(Path(sys.argv[1]) / str(number))
        time.sleep(60)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
"""


@pytest.mark.integration
def test_fifty_kills_while_a_store_is_made_leave_none_broken(tmp_path: Path) -> None:
    """Each in a home of its own: afterwards a store that is there opens, and one that is not is made as if nothing had been."""
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env=environment, check=True)
    homes = [tmp_path / f"{number}" for number in range(50)]
    whole = [home for home in homes if (home / "mlflow.db").exists()]
    halted = [home for home in homes if home.exists() and list(home.glob(".tmp-*"))]
    assert halted, "no kill came while a store was made: shorten the delays"
    for home in [*whole, *halted[:5]]:
        Store(home)
        assert sorted(path.name for path in home.iterdir()) == [".mlflow.lock", "mlflow.db"]


def test_the_champion_is_a_run_like_any_other(store: Store) -> None:
    with pytest.raises(ColourbenchError, match="there is no champion yet; run a sweep first"):
        store.run("champion")
    runs = {name: store.open_run("study", name, {"config_sha256": name}, {}) for name in ("a", "b")}
    for dataset, run in zip(("pets", "flowers"), runs.values(), strict=True):
        store._client.create_registered_model(model_name(dataset))
        version = store._client.create_model_version(
            model_name(dataset), source=run.folder.as_uri(), run_id=run.id
        )
        store.crown(model_name(dataset), str(version.version))
        if dataset == "pets":
            assert store.run("champion").id == run.id
    assert store.run("champion/flowers").id == runs["b"].id
    with pytest.raises(ColourbenchError, match="more than one champion; there are champion/"):
        store.run("champion")
    with pytest.raises(ColourbenchError, match="no champion of the data set 'dogs'"):
        store.run("champion/dogs")
