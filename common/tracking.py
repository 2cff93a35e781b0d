"""The only door to MLflow: write runs, read runs."""

import logging
import math
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pandas as pd
import torch
from torch import Tensor, nn

from common.errors import ColourbenchError, first_line
from common.files import locked

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

LOG_BATCH = 1000  # the most metrics that MLflow takes at once
PARAM_BATCH = 100


@dataclass(frozen=True)
class Row:
    """One metric value waiting to be logged; `step` is images seen, `time` milliseconds since 1970."""

    key: str
    value: float
    step: int
    time: int


CHAMPION = "champion"
SYSTEM = "system/"  # MLflow's prefix of what it logs of the machine


class Store:
    """MLflow's store of one home: experiments are studies, parent runs studies or sweeps, child runs trials or cells.

    The URI is MLFLOW_TRACKING_URI where that is set, and the SQLite file `home/mlflow.db` otherwise.

    Raises:
        ColourbenchError: the store cannot be opened; passwords in its URI are not shown.
    """

    def __init__(self, home: Path) -> None:
        import mlflow

        home.mkdir(parents=True, exist_ok=True)
        self.home = home.resolve()
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.home / 'mlflow.db'}"
        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        try:
            with locked(self.home / ".mlflow.lock"):  # two processes must not migrate a fresh store at once
                # never set_tracking_uri: it would decide for every later store of this process too
                self._client = mlflow.MlflowClient(self.uri)
                self._client.search_experiments(max_results=1)
        except Exception as error:  # drivers raise types of their own for a wrong host, password or schema
            reason = first_line(error)[:200].replace(self.uri, "the store")
            raise ColourbenchError(f"cannot open MLflow's store {redacted(self.uri)}: {reason}") from None

    def experiment(self, name: str) -> str:
        """The id of the experiment `name`, made where it is missing."""
        with locked(self.home / ".mlflow.lock"):
            found = self._client.get_experiment_by_name(name)
            if found is not None and found.lifecycle_stage == "deleted":
                raise ColourbenchError(f"the experiment {name!r} was deleted in MLflow's UI; restore it there, or use another name")
            if found is not None:
                return str(found.experiment_id)
            location = (self.home / "artifacts" / name).as_uri() if self.uri.startswith("sqlite") else None
            kind = {"mlflow.experimentKind": "custom_model_development"}  # else the UI opens on its page for language models
            return str(self._client.create_experiment(name, artifact_location=location, tags=kind))

    def open_run(
        self, study: str, name: str, tags: Mapping[str, Any], params: Mapping[str, Any], parent: "Run | None" = None
    ) -> "Run":
        """The run of `study` with this name and `config_sha256`, taken up where it exists, made where not."""
        experiment = self.experiment(study)
        with locked(self.home / ".mlflow.lock"):  # the same command twice at once must not make two runs
            existing = self.find(study, {"mlflow.runName": name, "config_sha256": tags.get("config_sha256", "")})
            if existing:
                return self._take_up(existing[0])
            all_tags = {**tags, "study": study, **({"mlflow.parentRunId": parent.id} if parent else {})}
            text = {key: str(value) for key, value in all_tags.items()}
            run = Run(self, self._client, self._client.create_run(experiment, run_name=name, tags=text))
        run.log_params(params)
        return run

    def _take_up(self, run: "Run") -> "Run":
        if run.status != "FINISHED":
            self._client.update_run(run.id, status="RUNNING")
            run.remember()
        return run

    def find(self, study: str, tags: Mapping[str, str]) -> list["Run"]:
        """The runs of a study with these tags, oldest first."""
        experiment = self._client.get_experiment_by_name(study)
        if experiment is None:
            return []
        query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        found: list[Run] = []
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [experiment.experiment_id], query, max_results=1000, order_by=["attributes.start_time ASC"], page_token=token
            )
            found += [Run(self, self._client, item) for item in page]
            token = page.token
            if not token:
                return found

    def run(self, reference: str) -> "Run":
        """A run by its id, the start of its id, or `study/run name`.

        Raises:
            ColourbenchError: no run, or several, match.
        """
        study, _, name = reference.partition("/")
        if name:
            matches = self.find(study, {"mlflow.runName": name})
        else:
            matches = [run for item in self.studies() for run in self.find(item, {}) if run.id.startswith(reference)]
        if len(matches) == 1:
            return matches[0]
        if not matches:
            raise ColourbenchError(f"there is no run {reference!r} in {self.home}; `colourbench runs` lists them")
        raise ColourbenchError(f"{reference!r} fits {len(matches)} runs: {', '.join(run.id[:8] for run in matches[:5])} …")

    def register(self, name: str, run: "Run", network: nn.Module, example: Tensor) -> str:
        """Makes a run's network a version of a registered model, with its signature; returns the version.

        Saved as a traced program (pt2), which loads without running pickled code. An example of two images leaves the number
        of images free.
        """
        from mlflow import pytorch
        from mlflow.models import infer_signature

        network = network.cpu().to(memory_format=torch.contiguous_format).eval()
        with torch.no_grad():
            signature = infer_signature(example.numpy(), network(example).numpy())
        path = run.folder / "model"
        shutil.rmtree(path, ignore_errors=True)
        pytorch.save_model(network, str(path), signature=signature, input_example=example.numpy(), pip_requirements=[])
        if name not in {model.name for model in self._client.search_registered_models()}:
            self._client.create_registered_model(name)
        version = self._client.create_model_version(name, source=path.as_uri(), run_id=run.id)
        return str(version.version)

    def champion(self, name: str) -> "Run | None":
        """The run behind a registered model's alias `champion`; None where there is no champion yet."""
        from mlflow.exceptions import MlflowException

        try:
            version = self._client.get_model_version_by_alias(name, CHAMPION)
        except MlflowException:
            return None
        return Run(self, self._client, self._client.get_run(str(version.run_id)))

    def crown(self, name: str, version: str) -> None:
        """Moves the alias `champion`: `models:/NAME@champion` is that version from now on."""
        self._client.set_registered_model_alias(name, CHAMPION, version)

    def listen(self, run_id: str) -> "Run":
        """A run for a rank that does not write."""
        return Listener(self, self._client, self._client.get_run(run_id))

    def studies(self) -> list[str]:
        """The names of all experiments that hold runs of this suite."""
        return sorted(item.name for item in self._client.search_experiments() if item.name != "Default")


class Run:
    """One MLflow run. Metrics are buffered: call `flush` when they should be durable."""

    def __init__(self, store: Store, client: Any, run: Any) -> None:
        self.store = store
        self._client = client
        self.id: str = run.info.run_id
        self.name: str = run.info.run_name
        self.status: str = run.info.status
        self.tags: dict[str, str] = dict(run.data.tags)
        self.params: dict[str, str] = dict(run.data.params)
        self.metrics: dict[str, float] = dict(run.data.metrics)
        self._artifact_uri: str = run.info.artifact_uri
        self._pending: list[Row] = []
        self._logged: dict[str, set[int]] = {}  # of an earlier process: key -> steps

    @property
    def folder(self) -> Path:
        """The local folder of the run's files: MLflow's own where that is local, else one that `finish` uploads."""
        path = Path(url2pathname(urlsplit(self._artifact_uri).path)) if self._is_local else self.store.home / "artifacts" / self.id
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def _is_local(self) -> bool:
        return urlsplit(self._artifact_uri).scheme in ("", "file")

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Logs parameters, in the batches that MLflow allows."""
        from mlflow.entities import Param

        items = [Param(key, str(value)[:6000]) for key, value in params.items()]
        for batch in _batches(items, PARAM_BATCH):
            self._client.log_batch(self.id, params=batch)

    def log_dataset(self, name: str, digest: str, source: str, profile: str) -> None:
        """Names the data set that the run learns from, as MLflow's Dataset column shows it; again and again it stays one entry."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(name, digest[:36], "local", source, profile=profile)
        self._client.log_inputs(self.id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "train")])])

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Buffers metric values; `step` is images seen."""
        now = int(time.time() * 1000)
        self._pending += [Row(key, float(value), step, now) for key, value in metrics.items()]

    @contextmanager
    def watch_machine(self) -> Iterator[None]:
        """Logs what the machine does, every ten seconds, as `system/…`: processor, memory, disk, network and GPU.

        MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING=false turns it off.
        """
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        if os.environ.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true").lower() in ("false", "0"):
            yield
            return
        monitor = SystemMetricsMonitor(self.id, resume_logging=True, tracking_uri=self.store.uri)
        monitor.start()
        try:
            yield
        finally:
            monitor.finish()

    def pending(self) -> list[dict[str, Any]]:
        """What is buffered, as plain values for a checkpoint: logged after it, and repeated after a kill in between."""
        return [asdict(row) for row in self._pending]

    def flush(self) -> None:
        """Logs what is buffered, synchronously; what an earlier process logged for the same step is not logged again."""
        from mlflow.entities import Metric

        fresh = (row for row in self._pending if math.isfinite(row.value) and row.step not in self._logged.get(row.key, ()))
        for batch in _batches([Metric(row.key, row.value, row.time, row.step) for row in fresh], LOG_BATCH):
            self._client.log_batch(self.id, metrics=batch)
        self._pending = []

    def remember(self) -> None:
        """Notes what is in the store already: a process that died may have logged beyond its last checkpoint."""
        self._logged = {key: {value.step for value in self.history(key)} for key in _own(self.metrics)}

    def restore(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Takes over the rows of a checkpoint that a kill may have kept from the store."""
        self._pending = [Row(**row) for row in rows]
        self.flush()

    def history(self, key: str) -> list[Any]:
        """All values of a metric, with `step`, `value` and `timestamp`, by step."""
        return sorted(self._client.get_metric_history(self.id, key), key=lambda item: (item.step, item.timestamp))

    def curves(self, keys: Iterable[str]) -> pd.DataFrame:
        """Metric histories as a table: one row a step, one column a metric."""
        columns = {key: pd.Series({item.step: item.value for item in self.history(key)}, dtype=float) for key in keys}
        return pd.DataFrame(columns).rename_axis("images").reset_index()

    def logged(self) -> list[dict[str, Any]]:
        """Every metric value of the run so far, as `restore` takes it."""
        self.flush()
        values = {key: self.history(key) for key in _own(self._client.get_run(self.id).data.metrics)}
        return [asdict(Row(key, item.value, item.step, item.timestamp)) for key, items in values.items() for item in items]

    def tag(self, **tags: Any) -> None:
        """Sets tags."""
        for key, value in tags.items():
            self._client.set_tag(self.id, key, str(value))
            self.tags[key] = str(value)

    def note(self, markdown: str) -> None:
        """Sets the description that MLflow's UI shows."""
        self._client.set_tag(self.id, "mlflow.note.content", markdown)

    def finish(self, status: str = "FINISHED") -> None:
        """Flushes, uploads where the artifact store is remote, and ends the run."""
        self.flush()
        if not self._is_local:
            self._client.log_artifacts(self.id, str(self.folder))
        self._client.set_terminated(self.id, status)
        self.status = status

    def abandon(self, status: str) -> None:
        """Ends the run as FAILED or KILLED without logging what no checkpoint holds; it never hides the error that led here."""
        self._pending = []
        with suppress(Exception):  # on a full disk not even this can be written
            self._client.set_terminated(self.id, status)


class Listener(Run):
    """A run as ranks other than the first see it: they compute, and one writes for all."""

    @contextmanager
    def watch_machine(self) -> Iterator[None]:
        """Nothing."""
        yield

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""
        self._pending = []

    def tag(self, **tags: Any) -> None:
        """Nothing."""

    def finish(self, status: str = "FINISHED") -> None:
        """Nothing."""

    def abandon(self, status: str) -> None:
        """Nothing."""


def ui_command(store: Store, port: int) -> list[str]:
    """The command that serves MLflow's UI on a store, on this machine only."""
    uri = store.uri
    if "://" in uri and uri.startswith("http"):
        raise ColourbenchError(f"the runs are on a server already: open {redacted(uri)} in a browser")
    artifacts = (store.home / "artifacts").as_uri()
    served = ["--backend-store-uri", uri, "--default-artifact-root", artifacts]
    return [sys.executable, "-m", "mlflow", "server", *served, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]


def redacted(uri: str) -> str:
    """A URI without its password."""
    scheme, separator, rest = uri.partition("://")
    credentials, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{credentials.partition(':')[0]}:…@{host}" if at else uri


def _own(keys: Iterable[str]) -> list[str]:
    """Metrics of the training, not of the machine."""
    return [key for key in keys if not key.startswith(SYSTEM)]


def _batches(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (items[i : i + size] for i in range(0, len(items), size))
