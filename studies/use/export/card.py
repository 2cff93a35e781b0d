"""The model card: what a model is, what it was trained on and under which licence, how good it is, and what its limits are."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from huggingface_hub import ModelCard, ModelCardData
from PIL import Image
from scipy import stats

from analysis.evaluation import splits
from analysis.statistics.crossed import LEVEL
from common.colour import lab
from common.colour.metrics import HEADLINE, METRICS
from common.config import explain_fields
from common.data.shards import Dataset
from common.data.sources.published import SOURCES
from common.errors import ColourbenchError
from common.system import integrity
from common.system.names import PER_IMAGE, SAMPLES
from studies.home import Home
from studies.runs.model import RETRAIN
from studies.use.export.formats import CARD, GALLERY, published
from studies.use.models import Model

TEMPLATE = Path(__file__).with_name("card.md.j2")
SHOWN = 6  # photographs in the gallery
RESAMPLES = 2000


@dataclass(frozen=True)
class About:
    """What a card says beside what the model knows of itself; `files` are those written, with their largest difference in ab."""

    files: dict[str, float]
    remarks: list[str] = field(default_factory=list)


def write(
    home: Home, model: Model, folder: Path, about: About, shows_photographs: bool = True
) -> Path:
    """Writes README.md with its front matter, and a gallery where the photographs are at hand; returns the card's path."""
    dataset = _dataset(home, model)
    has_gallery = (
        shows_photographs and dataset is not None and gallery(model, dataset, folder / GALLERY)
    )
    rows = _metrics(model, dataset)
    facts: dict[str, Any] = {
        "model": model,
        "variant": model.config.variant.name,
        "budget": f"{model.config.budget.amount:,.0f} {model.config.budget.unit}",
        "size": model.colouriser.size,
        "parameters": sum(weight.numel() for weight in model.colouriser.network.parameters()),
        "dataset": dataset,
        **_of_data(model),
        "metrics": rows,
        "worse_than_grey": [row.title for row in rows if row.is_worse_than_grey],
        "gallery": GALLERY if has_gallery else "",
        "settings": explain_fields(published(model.config)),
        "about": about,
    }
    data = ModelCardData(
        license=model.about.get("licence", "other"),
        library_name="colourbench",
        pipeline_tag="image-to-image",
        tags=["colorization", "colourisation", "gan", model.config.variant.name],
        datasets=None,
    )
    card = ModelCard.from_template(data, template_str=TEMPLATE.read_text(encoding="utf-8"), **facts)
    card.save(folder / CARD)
    return folder / CARD


@dataclass(frozen=True)
class Row:
    """A metric on the test split: the model's mean with its interval, and that of grey where the photographs are at hand."""

    title: str
    value: str
    grey: str = ""
    is_worse_than_grey: bool = False


def _metrics(model: Model, dataset: Dataset | None) -> list[Row]:
    """The headline metrics; empty for a model without its run."""
    if model.run is None or not (model.run.folder / PER_IMAGE).is_file():
        return []
    table = integrity.read_table(model.run.folder / PER_IMAGE, ("photograph", *HEADLINE), RETRAIN)
    grey = splits.evaluate(splits.grey, dataset.split("test")).table if dataset else None
    return [_row(name, table, grey) for name in HEADLINE]


def _row(name: str, table: pd.DataFrame, grey: pd.DataFrame | None) -> Row:
    metric = METRICS[name]
    title = metric.arrow.replace("|", "\\|")  # | ends a cell
    if grey is None:
        return Row(title, with_interval(table, name))
    means = [frame[name].replace([np.inf, -np.inf], np.nan).mean() for frame in (table, grey)]
    is_worse = metric.direction * (means[0] - means[1]) < 0
    return Row(title, with_interval(table, name), with_interval(grey, name), is_worse)


def with_interval(table: pd.DataFrame, metric: str) -> str:
    """The mean of a metric with its 95 % bootstrap interval over photographs."""
    values = (
        table.assign(value=table[metric].replace([np.inf, -np.inf], np.nan))
        .groupby("photograph")["value"]
        .mean()
        .dropna()
    )
    digits = METRICS[metric].digits
    mean = f"{values.mean():.{digits}f}"
    if len(values) < 2 or np.ptp(values.to_numpy()) == 0:
        return mean
    interval = stats.bootstrap(
        (values.to_numpy(),),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=1 - LEVEL,
        method="percentile",
        rng=0,
    ).confidence_interval
    return f"{mean} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def gallery(model: Model, dataset: Dataset, path: Path) -> bool:
    """Draws test photographs without colour, as the model colours them, and as they were, in three rows; False without samples."""
    if model.run is None or not (model.run.folder / SAMPLES).is_file():
        return False
    coloured = integrity.read_photographs(model.run.folder / SAMPLES, RETRAIN)
    test = dataset.split("test")
    places = test.spread(len(coloured))
    chosen = np.unique(np.linspace(0, len(coloured) - 1, min(SHOWN, len(coloured))).astype(int))
    truth = test.photographs(places[chosen])
    L, ab = lab.to_network(truth)
    grey = lab.to_photographs(L, torch.zeros_like(ab))
    rows = [
        np.concatenate(list(images), axis=1)
        for images in (_hwc(grey), coloured[chosen], _hwc(truth))
    ]
    Image.fromarray(np.concatenate(rows, axis=0)).save(path, quality=92)
    return True


def _hwc(images: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())


def _dataset(home: Home, model: Model) -> Dataset | None:
    """The data set, where it is still here and the same."""
    try:
        dataset = home.dataset(model.config.dataset)
    except ColourbenchError:
        return None
    is_same = model.run is not None and model.run.tags.get("dataset_sha256") == dataset.fingerprint
    return dataset if is_same else None


def _of_data(model: Model) -> dict[str, str]:
    """What the model's file says of its data."""
    return {
        "source": model.about.get("data", ""),
        "licence": model.about.get("data_licence", ""),
    }


def described(home: Home, model: Model, licence: str | None, data_licence: str) -> Model:
    """The model with what its files will say of it: as given now, else as its own file says, else as its data set's source says."""
    dataset = _dataset(home, model)
    told = {
        "licence": licence or model.about.get("licence", "other"),
        "data": model.about.get("data") or _source(dataset),
        "data_licence": data_licence or model.about.get("data_licence") or _licence(dataset),
    }
    about = {**model.about, **{name: text for name, text in told.items() if text}}
    return replace(model, about=about)


def _source(dataset: Dataset | None) -> str:
    source = SOURCES.get(dataset.manifest.source) if dataset else None
    return source.about if source else ""


def _licence(dataset: Dataset | None) -> str:
    source = SOURCES.get(dataset.manifest.source) if dataset else None
    return source.licence if source else ""
