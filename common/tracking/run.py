"""One MLflow run: its parameters, metrics, files and final status."""

import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from jaxtyping import UInt8

from common.tracking.names import SYSTEM

if TYPE_CHECKING:
    import pandas as pd

# of the path of a run's files below the home's artifacts: study, run, "artifacts"
FOLDER_PARTS = 3
LOG_BATCH = 1000  # the most metrics that MLflow accepts in one call
PARAM_BATCH = 100


@dataclass(frozen=True)
class Row:
    """One metric value waiting to be logged; `step` is images seen, `time` milliseconds since 1970."""

    key: str
    value: float
    step: int
    time: int


@dataclass(frozen=True)
class Connection:
    """An open MLflow store: its client, its URI, and the home folder beside it."""

    client: Any
    uri: str
    home: Path


class Run:
    """One MLflow run. Metrics are buffered: call `flush` when they should be durable."""

    def __init__(self, connection: Connection, run: Any) -> None:
        self.home = connection.home
        self._client = connection.client
        self._uri = connection.uri
        self.id: str = run.info.run_id
        self.name: str = run.info.run_name
        self.status: str = run.info.status
        self.tags: dict[str, str] = dict(run.data.tags)
        self.params: dict[str, str] = dict(run.data.params)
        self.metrics: dict[str, float] = dict(run.data.metrics)
        self._artifact_uri: str = run.info.artifact_uri
        self._pending: list[Row] = []
        self._logged: dict[str, set[int]] = {}  # logged by an earlier process: key -> steps

    @property
    def folder(self) -> Path:
        """The local folder of the run's files: MLflow's own where that is local, else one that `finish` uploads."""
        if not self._is_local:
            path = self.home / "artifacts" / self.id
        else:
            path = self._here(Path(url2pathname(urlsplit(self._artifact_uri).path)))
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _here(self, noted: Path) -> Path:
        """The folder of files that MLflow noted; where the home was moved since, the same folder below its new place."""
        if noted.is_relative_to(self.home) or len(noted.parts) < FOLDER_PARTS:
            return noted
        moved = self.home / "artifacts" / Path(*noted.parts[-FOLDER_PARTS:])
        return moved if moved.is_dir() else noted

    def publish(self, folder: Path) -> str:
        """Puts a folder of files where MLflow's registry finds it; returns its URI there."""
        if self._is_local:
            return folder.as_uri()
        self._client.log_artifacts(self.id, str(folder), folder.name)
        return f"{self._artifact_uri}/{folder.name}"

    @property
    def has_figures(self) -> bool:
        """Whether the store holds metrics of its training, beside those of the machine."""
        return bool(_own(self.metrics))

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
        """Names the data set that the run learns from, as MLflow's Dataset column shows it; repeated calls keep one entry."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(name, digest[:36], "local", source, profile=profile)
        self._client.log_inputs(
            self.id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "train")])]
        )

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Buffers metric values; `step` is images seen."""
        now = int(time.time() * 1000)
        self._pending += [Row(key, float(value), step, now) for key, value in metrics.items()]

    def log_pictures(self, pictures: Mapping[str, UInt8[np.ndarray, "h w 3"]]) -> None:
        """Shows pictures in MLflow's UI, under their names."""
        # an illustration: it must not fail a finished training, as where the home was moved and its old place cannot be written
        with suppress(Exception):
            for name, picture in pictures.items():
                self._client.log_image(self.id, picture, key=name, step=0)

    @contextmanager
    def watch_machine(self) -> Iterator[None]:
        """Logs the use of processor, memory, disk, network and GPU every ten seconds, as `system/…`.

        MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING=false turns it off.
        """
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        if os.environ.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true").lower() in ("false", "0"):
            yield
            return
        monitor = SystemMetricsMonitor(self.id, resume_logging=True, tracking_uri=self._uri)
        monitor.start()
        try:
            yield
        finally:
            monitor.finish()

    def pending(self) -> list[dict[str, Any]]:
        """The buffered rows as plain values for a checkpoint: logged once it is written, or when a killed run resumes."""
        return [asdict(row) for row in self._pending]

    def flush(self) -> None:
        """Logs the buffered rows synchronously; what an earlier process logged for the same step is not logged again."""
        from mlflow.entities import Metric

        fresh = (
            row
            for row in self._pending
            if math.isfinite(row.value) and row.step not in self._logged.get(row.key, ())
        )
        for batch in _batches(
            [Metric(row.key, row.value, row.time, row.step) for row in fresh], LOG_BATCH
        ):
            self._client.log_batch(self.id, metrics=batch)
        self._pending = []

    def remember(self) -> None:
        """Records which steps the store already holds: a process that died may have logged beyond its last checkpoint."""
        self._logged = {
            key: {value.step for value in self.history(key)} for key in _own(self.metrics)
        }

    def restore(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Logs the rows saved in a checkpoint, which never reached the store if the process was killed before logging them."""
        self._pending = [Row(**row) for row in rows]
        self.flush()

    def history(self, key: str) -> list[Any]:
        """All values of a metric, with `step`, `value` and `timestamp`, by step."""
        return sorted(
            self._client.get_metric_history(self.id, key),
            key=lambda item: (item.step, item.timestamp),
        )

    def curves(self, keys: Iterable[str]) -> "pd.DataFrame":
        """Metric histories as a table: one row a step, one column a metric."""
        import pandas as pd

        columns = {
            key: pd.Series({item.step: item.value for item in self.history(key)}, dtype=float)
            for key in keys
        }
        return pd.DataFrame(columns).rename_axis("images").reset_index()

    def logged(self) -> list[dict[str, Any]]:
        """Every metric value of the run so far, in the form that `restore` accepts."""
        self.flush()
        values = {
            key: self.history(key) for key in _own(self._client.get_run(self.id).data.metrics)
        }
        return [
            asdict(Row(key, item.value, item.step, item.timestamp))
            for key, items in values.items()
            for item in items
        ]

    def tag(self, **tags: Any) -> None:
        """Sets tags."""
        for key, value in tags.items():
            self._client.set_tag(self.id, key, str(value))
            self.tags[key] = str(value)

    def note(self, markdown: str) -> None:
        """Sets the description that MLflow's UI shows."""
        self._client.set_tag(self.id, "mlflow.note.content", markdown)

    def finish(self, status: str = "FINISHED") -> None:
        """Flushes, uploads the files if the artifact store is remote, and ends the run."""
        self.flush()
        if not self._is_local:
            self._client.log_artifacts(self.id, str(self.folder))
        self._client.set_terminated(self.id, status)
        self.status = status

    def abandon(self, status: str) -> None:
        """Ends the run as FAILED or KILLED and drops metrics that no checkpoint holds; it never hides the error that led here."""
        self._pending = []
        with suppress(Exception):  # on a full disk not even this can be written
            self._client.set_terminated(self.id, status)


class Listener(Run):
    """The run on ranks other than the first: they compute, and only the first rank writes."""

    @contextmanager
    def watch_machine(self) -> Iterator[None]:
        """Does nothing: only the first rank watches its machine."""
        yield

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Does nothing: only the first rank logs."""

    def log_pictures(self, pictures: Mapping[str, UInt8[np.ndarray, "h w 3"]]) -> None:
        """Does nothing: only the first rank logs."""

    def flush(self) -> None:
        """Drops what is buffered: only the first rank logs."""
        self._pending = []

    def tag(self, **tags: Any) -> None:
        """Does nothing: only the first rank sets tags."""

    def finish(self, status: str = "FINISHED") -> None:
        """Does nothing: only the first rank ends the run."""

    def abandon(self, status: str) -> None:
        """Does nothing: only the first rank ends the run."""


def _own(keys: Iterable[str]) -> list[str]:
    """Keeps the metrics of the training and drops those of the machine."""
    return [key for key in keys if not key.startswith(SYSTEM)]


def _batches(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (items[i : i + size] for i in range(0, len(items), size))
