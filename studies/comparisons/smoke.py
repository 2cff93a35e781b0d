"""Any study in miniature: every arm, phase and option, with tiny networks and a handful of images."""

from typing import Any

from common.config import as_json, merge, parse
from common.data import preparation
from common.data.manifest import ShardConfig
from common.data.shards import Dataset
from common.data.sources import published
from common.networks.unet import UNetConfig
from studies.comparisons.cells.arms import arm_fields
from studies.comparisons.study import Study
from studies.home import Home
from studies.runs.configuration import RunConfig
from studies.sweeps.outcome import untuned

IMAGES = 64
GAME = 0.25  # least share of the budget for the adversarial phases
NOTE = "A smoke run: it shows that the study runs, and its figures mean nothing. The study asks:"
RUN: dict[str, Any] = {
    "batches": {"size": 4},
    "watch": {"validations": 4, "validation_images": 16, "preview_images": 4, "log_steps": 1},
}
DATASET = "packaged-64"
SHARDS = ShardConfig(size=64, margin=8, tile=128, validation=0.15, test=0.35)


def packaged_dataset(home: Home) -> Dataset:
    """Returns the data set of packaged photographs, and prepares it if it is missing."""
    if DATASET in home.datasets():
        return home.dataset(DATASET)
    return preparation.prepare(
        published.list_files("packaged", None), home.data / DATASET, SHARDS, source="packaged"
    )


def smoke_study(study: Study, dataset: str) -> Study:
    """Returns the study in miniature: its figures mean nothing, but it shows that every code path of the study runs.

    Encoders keep their kind but lose their pretrained weights, so that no internet connection is needed.
    """
    # without `images` arms, which show other photographs
    arms = {arm: _shrunk(study, arm) for arm in study.trained}
    changes = {
        "name": f"{study.name}-smoke",
        "question": f"{NOTE} {study.question}",
        "dataset": dataset,
        "datasets": (),
        "budget": {"amount": IMAGES, "unit": "images"},
        "seeds": [0, 1],
        "defaults": {},
        "arms": arms,
    }
    return parse(Study, as_json(study) | changes, f"study {study.name}, --smoke")


def _shrunk(study: Study, arm: str) -> dict[str, Any]:
    fields = arm_fields(study, arm, untuned)
    run = as_json(parse(RunConfig, fields, f"study {study.name}, arm {arm}"))
    variant = run["variant"]
    schedule = run["schedule"]
    variant["generator"]["network"] |= _small_network(variant["generator"]["network"])
    if "critic" in variant:
        variant["critic"]["network"]["base_width"] = 8
        schedule["stored_fakes"] = 8
        schedule["inflection"]["patience"] = 1
        schedule |= _with_room_for_the_game(schedule)
    if "pretrained" in variant["reconstruction"]:
        variant["reconstruction"] |= {"pretrained": False, "backbone_weights": None}
    variant["accumulation"] = min(2, variant["accumulation"])
    kept = {
        name: value
        for name, value in fields.items()
        if name not in ("dataset", "budget", "variant", "schedule")
    }
    return merge(kept, RUN) | {"variant": variant, "schedule": schedule}


def _with_room_for_the_game(schedule: dict[str, Any]) -> dict[str, float]:
    """Shrinks the pretraining shares: in so small a budget, an adversarial phase of a hundredth would get no step."""
    shares = {name: schedule[name] for name in ("pretraining", "critic_pretraining")}
    most = 1 - GAME
    total = sum(shares.values())
    return {name: share * most / total for name, share in shares.items()} if total > most else {}


def _small_network(network: dict[str, Any]) -> dict[str, Any]:
    if network["kind"] == UNetConfig().kind:
        return {"base_width": 8}
    bridge = min(16, network["bridge_width"])
    return {
        "decoder_width": 16,
        "bridge_width": bridge,
        "pretrained": False,
        "backbone_weights": None,
        "frozen": False,
    }
