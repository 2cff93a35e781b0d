"""A run keeps what it was begun with, on whatever machine it goes on."""

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from common.config import parse
from common.data.shards import Dataset
from common.errors import ColourbenchError
from common.loop import engine as engine_module
from common.system import processor as processor_module
from common.system.names import GENERATOR
from common.system.processor import Processor
from common.tracking import Run, Store
from studies.runs import machine
from studies.runs.configuration import RunConfig
from studies.runs.train import Place, RunOptions, train_run

PLACE = Place("study", "run", {"arm": "x"})
OLD, NEW = Processor("old", ("avx2",)), Processor("new", ("avx512_bf16", "avx512f", "avx2"))


class Stop(Exception):
    pass


def on(processor: Processor, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (engine_module, machine, processor_module):
        monkeypatch.setattr(module, "processor", lambda: processor)


def config(**engine: object) -> RunConfig:
    data = {
        "variant": {"name": "regression", "generator": {"network": {"base_width": 4}}},
        "dataset": "fields-32",
        "budget": {"amount": 48, "unit": "images"},
        "batches": {"size": 4},
        "engine": {"threads": 1, **engine},
        "watch": {"validations": 3, "preview_images": 0, "checkpoint_seconds": 1e-3},
    }
    return parse(RunConfig, data)


def interrupted(store: Store, dataset: Dataset, settings: RunConfig) -> Run:
    def stop(number: int, metrics: dict[str, float]) -> None:
        raise Stop

    with pytest.raises(Stop):
        train_run(store, dataset, settings, PLACE, RunOptions(report=stop))
    (run,) = store.find("study", {"mlflow.runName": "run"})
    return run


@pytest.mark.parametrize(
    ("first", "second"), [(NEW, OLD), (OLD, NEW)], ids=["bf16 goes on", "float32 goes on"]
)
def test_the_precision_that_auto_chose_is_kept(
    first: Processor,
    second: Processor,
    store: Store,
    dataset: Dataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on(first, monkeypatch)
    whole = train_run(store, dataset, config(), Place("study", "whole", {"arm": "x"}))
    earlier = interrupted(store, dataset, config())
    assert (
        earlier.tags["precision"] == ("bf16-mixed" if first is NEW else "32-true")
        and "old" in OLD.name
    )
    on(second, monkeypatch)
    resumed = train_run(store, dataset, config(), PLACE)
    a, b = (load_file(run.folder / GENERATOR) for run in (whole, resumed))
    assert resumed.id == earlier.id and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_of_a_gpu_stops_with_one_line_where_there_is_none(
    store: Store, dataset: Dataset
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has the GPU that the message misses")
    earlier = interrupted(store, dataset, config())
    earlier.tag(device="cuda:0", precision="bf16-mixed")
    with pytest.raises(
        ColourbenchError, match="begun on cuda in bf16-mixed, which this machine cannot do"
    ) as told:
        train_run(store, dataset, config(), PLACE)
    assert "\n" not in str(told.value)


def test_other_threads_and_processors_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    on(OLD, monkeypatch)
    engine = machine.engine_of(config(precision="bf16").engine, None)
    said = machine.what_changed(
        engine, {"threads": "64", "processor": str(NEW), "precision": "bf16-mixed"}
    )
    assert "threads 64 before" in said and "processor new" in said and "emulated" in said
    assert (
        machine.what_changed(
            machine.engine_of(config(precision="32").engine, None), machine.machine_tags(engine)
        )
        == ""
    )


def test_a_processor_is_read_from_what_the_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "model name\t: Some CPU\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16\n"
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(processor_module, "CPUINFO", tmp_path / "cpuinfo")
    parsed = processor_module.processor.__wrapped__()
    assert (
        parsed == Processor("Some CPU", ("amx_bf16", "avx512_bf16", "avx512f", "avx2"))
        and parsed.multiplies_bf16
    )
    assert not dataclasses.replace(parsed, instructions=("avx2",)).multiplies_bf16


def test_how_a_run_is_watched_is_its_identity_only_where_the_schedule_acts_on_it() -> None:
    def identity(validations: int, metric: str) -> str:
        fields = {
            "variant": {"name": "cgan"},
            "schedule": {"inflection": {"metric": metric}},
            "dataset": "d",
            "watch": {"validations": validations},
        }
        return parse(RunConfig, fields).identity("x")

    assert identity(5, "off") == identity(10, "off")
    assert identity(5, "delta_e") != identity(10, "delta_e")
