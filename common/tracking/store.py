"""The store of runs: creates experiments, finds and resumes runs, registers models."""

import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from common.errors import ColourbenchError, first_line
from common.system.atomic import appear_whole
from common.system.locks import locked
from common.system.names import DATABASE
from common.tracking.names import CHAMPION, VALIDATION
from common.tracking.run import Connection, Listener, Run
from common.tracking.server import check_answers, redacted
from common.tracking.views import TAG, view

if TYPE_CHECKING:
    from torch import Tensor, nn

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# by default a dead server is waited for for minutes, without a word
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
BEST = f"{VALIDATION}delta_e"  # chooses among the seeds of an arm
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


class Store:
    """MLflow's store of one home: an experiment is a study, a parent run a study or sweep, a child run a trial or cell.

    The URI is MLFLOW_TRACKING_URI where that is set, and the SQLite file `home/mlflow.db` otherwise.

    Raises:
        ColourbenchError: the store cannot be opened; passwords in its URI are not shown.
    """

    def __init__(self, home: Path) -> None:
        import mlflow

        home.mkdir(parents=True, exist_ok=True)
        self.home = home.resolve()
        embedded = f"sqlite:///{quote(str(self.home / DATABASE))}"
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or embedded
        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        try:
            check_answers(self.uri)
            # two processes must not migrate a fresh store at once
            with locked(self.home / ".mlflow.lock"):
                if self.uri == embedded:
                    appear_whole(self.home / DATABASE, _make_database)
                # never set_tracking_uri: it would also affect every later store of this process
                self._client = mlflow.MlflowClient(self.uri)
                self._connection = Connection(self._client, self.uri, self.home)
                self._client.search_experiments(max_results=1)
        except (
            Exception
        ) as error:  # drivers raise their own types for a wrong host, password or schema
            reason = first_line(error)[:200].replace(self.uri, "the store")
            # some tables exist, but not the mark that all of them do
            if "already exists" in reason:
                reason = f"it was only half made ({reason}); if it holds no runs that you need, move the file away for a new one"
            raise ColourbenchError(
                f"cannot open MLflow's store {redacted(self.uri)}: {reason}"
            ) from None

    def experiment(self, name: str) -> str:
        """The id of the experiment `name`, which is created if it is missing."""
        with locked(self.home / ".mlflow.lock"):
            experiment = self._client.get_experiment_by_name(name)
            if experiment is not None and experiment.lifecycle_stage == "deleted":
                raise ColourbenchError(
                    f"the experiment {name!r} was deleted in MLflow's UI; restore it there, or use another name"
                )
            if experiment is not None:
                return str(experiment.experiment_id)
            location = (
                None if self.uri.startswith("http") else (self.home / "artifacts" / name).as_uri()
            )
            # else the UI opens on its page for language models
            kind = {"mlflow.experimentKind": "custom_model_development"}
            return str(self._client.create_experiment(name, artifact_location=location, tags=kind))

    def open_run(
        self,
        study: str,
        name: str,
        tags: Mapping[str, Any],
        params: Mapping[str, Any],
        parent: Run | None = None,
        mark: bool = True,
    ) -> Run:
        """The run of `study` with this name and `config_sha256`, created if there is none.

        Args:
            mark: whether to mark an existing, unfinished run as running; a caller that must first wait for a lock calls `go_on`.
        """
        experiment = self.experiment(study)
        # the same command twice at once must not make two runs
        with locked(self.home / ".mlflow.lock"):
            existing = self.find_one(study, name, str(tags.get("config_sha256", "")))
            if existing:
                return self.go_on(existing) if mark and existing.status != "FINISHED" else existing
            all_tags = {**tags, "study": study}
            if parent:
                all_tags["mlflow.parentRunId"] = parent.id
            text = {key: str(value) for key, value in all_tags.items()}
            run = Run(
                self._connection, self._client.create_run(experiment, run_name=name, tags=text)
            )
        run.log_params(params)
        return run

    def go_on(self, run: Run) -> Run:
        """Marks a run as running, and records what it has logged, so that nothing is logged twice."""
        self._client.update_run(run.id, status="RUNNING")
        run.remember()
        return run

    def retire(self, run: Run) -> None:
        """Deletes a run, as MLflow's UI does: it can be restored there. Its figures belong to weights that are gone."""
        self._client.delete_run(run.id)

    def is_replaced(self, run: Run) -> bool:
        """Whether a run was retired since it was read."""
        return bool(self._client.get_run(run.id).info.lifecycle_stage == "deleted")

    def fresh(self, run: Run) -> Run:
        """The run, read from the store again."""
        return Run(self._connection, self._client.get_run(run.id))

    def find(self, study: str, tags: Mapping[str, str]) -> list[Run]:
        """The runs of a study with these tags, oldest first."""
        experiment = self._client.get_experiment_by_name(study)
        if experiment is None:
            return []
        query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        order = ["attributes.start_time ASC"]
        search = partial(
            self._client.search_runs,
            [experiment.experiment_id],
            query,
            max_results=1000,
            order_by=order,
        )
        return [Run(self._connection, item) for item in _all_pages(search)]

    def find_one(self, study: str, name: str, identity: str) -> Run | None:
        """The run of `study` with this name and `config_sha256`, if there is one."""
        runs = self.find(study, {"mlflow.runName": name, "config_sha256": identity})
        return runs[0] if runs else None

    def run(self, reference: str) -> Run:
        """A run by its id, the start of its id, `study/run name`, `study/arm`, `champion`, or `champion/data set`.

        An arm stands for the run among its seeds that the validation split liked best.

        Raises:
            ColourbenchError: no run, or several, match.
        """
        study, _, name = reference.partition("/")
        if study == CHAMPION:
            return self._crowned(name)
        if name:
            matches = self.find(study, {"mlflow.runName": name}) or self._best_of_arm(study, name)
        elif re.fullmatch(r"[0-9a-f]{32}", reference):
            matches = self._by_id(reference)
        else:
            matches = [
                run
                for item in self.studies()
                for run in self.find(item, {})
                if run.id.startswith(reference)
            ]
        if len(matches) == 1:
            return matches[0]
        if not matches:
            raise ColourbenchError(
                f"there is no run {reference!r} in {self.home}; `colourbench runs` lists them"
            )
        raise ColourbenchError(
            f"{reference!r} fits {len(matches)} runs: {', '.join(run.id[:8] for run in matches[:5])} …"
        )

    def register(self, name: str, run: Run, network: "nn.Module", example: "Tensor") -> str:
        """Makes a run's network a version of a registered model, with its signature; returns the version.

        Saved as a traced program (pt2), which loads without running pickled code. With an example of two images the
        number of images stays variable.
        """
        import torch
        from mlflow import pytorch
        from mlflow.models import infer_signature

        network = network.cpu().to(memory_format=torch.contiguous_format).eval()
        with torch.no_grad():
            signature = infer_signature(example.numpy(), network(example).numpy())
        path = run.folder / "model"
        shutil.rmtree(path, ignore_errors=True)
        pytorch.save_model(
            network,
            str(path),
            signature=signature,
            input_example=example.numpy(),
            pip_requirements=[],
        )
        if name not in {model.name for model in _all_pages(self._client.search_registered_models)}:
            self._client.create_registered_model(name)
        version = self._client.create_model_version(name, source=run.publish(path), run_id=run.id)
        return str(version.version)

    def _by_id(self, run_id: str) -> list[Run]:
        from mlflow.exceptions import MlflowException

        try:
            return [Run(self._connection, self._client.get_run(run_id))]
        except MlflowException:
            return []

    def _best_of_arm(self, study: str, arm: str) -> list[Run]:
        """The finished run of an arm with the lowest ΔE₀₀ on the validation split, alone in a list."""
        runs = [
            run
            for run in self.find(study, {"arm": arm})
            if run.status == "FINISHED" and BEST in run.metrics
        ]
        if len({run.tags.get("dataset_sha256") for run in runs}) > 1:
            raise ColourbenchError(
                f"{study}/{arm} was trained on several data sets, whose figures do not compare; name a run (`colourbench runs`)"
            )
        return sorted(runs, key=lambda run: run.metrics[BEST])[:1]

    def _crowned(self, dataset: str) -> Run:
        """The champion of a data set; without a data set, the only champion."""
        models = [
            model.name
            for model in _all_pages(self._client.search_registered_models)
            if CHAMPION in model.aliases
        ]
        wanted = [name for name in models if not dataset or name == model_name(dataset)]
        if len(wanted) != 1:
            qualifier = f" of the data set {dataset!r}" if dataset and not wanted else ""
            if not models:
                raise ColourbenchError("there is no champion yet; run a sweep first")
            known = ", ".join(f"{CHAMPION}/{name.removeprefix(model_name(''))}" for name in models)
            raise ColourbenchError(
                f"there is {'no' if not wanted else 'more than one'} champion{qualifier}; there are {known}"
            )
        champion = self.champion(wanted[0])
        if champion is None:
            raise ColourbenchError(f"the run behind the champion of {wanted[0]} is gone")
        return champion

    def champion(self, name: str) -> Run | None:
        """The run behind a registered model's alias `champion`; None where there is no champion yet."""
        from mlflow.exceptions import MlflowException

        try:
            version = self._client.get_model_version_by_alias(name, CHAMPION)
        except MlflowException:
            return None
        return Run(self._connection, self._client.get_run(str(version.run_id)))

    def crown(self, name: str, version: str) -> None:
        """Moves the alias `champion`: `models:/NAME@champion` refers to that version from now on."""
        self._client.set_registered_model_alias(name, CHAMPION, version)

    def listen(self, run_id: str) -> Run:
        """The run object for a rank that does not write."""
        return Listener(self._connection, self._client.get_run(run_id))

    def share_view(self, study: str) -> str:
        """Gives a study's experiment the view in which the UI opens it; returns the experiment's id.

        Raises:
            ColourbenchError: there is no such study.
        """
        experiment = self._client.get_experiment_by_name(study)
        if experiment is None:
            known = ", ".join(self.studies()) or "none yet"
            raise ColourbenchError(f"there is no study {study!r} (known: {known})")
        by_arm = bool(self.find(study, {"kind": "comparison"}))
        self._client.set_experiment_tag(experiment.experiment_id, TAG, view(by_arm))
        return str(experiment.experiment_id)

    def studies(self) -> list[str]:
        """The names of all experiments that hold runs of this suite."""
        names = [experiment.name for experiment in _all_pages(self._client.search_experiments)]
        return sorted(name for name in names if name != "Default")


def _all_pages(search: Callable[..., Any]) -> list[Any]:
    """All that a search finds: MLflow gives it page by page."""
    found: list[Any] = []
    token: str | None = None
    while True:
        page = search(page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def model_name(dataset: str) -> str:
    """The registered model of the generators for a data set."""
    return f"colouriser-{dataset}"


def load_backend() -> None:
    """Imports the modules that an open store uses, without opening one."""
    from mlflow.store.tracking import sqlalchemy_store  # noqa: F401


def _make_database(path: Path) -> None:
    """Creates MLflow's tables in a new SQLite file; closing it removes the files that SQLite keeps beside an open database."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    uri = f"sqlite:///{path}"
    store = SqlAlchemyStore(uri, str(path.parent / "artifacts"))
    store._dispose_engine()
