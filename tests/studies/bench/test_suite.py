"""Which benchmarks there are, what is said of their results, and how they are drawn."""

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from analysis.figures.scaling_figures import scaling
from common.errors import ColourbenchError
from common.system.processor import Processor
from studies.bench import suite
from studies.bench.measurements import logging_cost, photographs
from studies.bench.measurements.whole_run import whole_run
from studies.bench.result import Result, Side, table, verdict
from studies.bench.tasks import Task
from studies.bench.timing import Alternated, matrix_rate

SIDES = [Side("plain", 2.0, 4.0, 100.0, 0.5, 1.25), Side("product", 1.0, 8.0)]


@pytest.mark.parametrize(
    ("ratio", "at_most", "met"),
    [(2.0, False, True), (1.9, False, False), (2.0, True, True), (2.1, True, False)],
)
def test_targets(ratio: float, at_most: bool, met: bool) -> None:
    result = Result("a step", SIDES, ratio, 2.0, at_most)
    assert result.is_met is met and result.record()["is_met"] is met
    assert ("met" if met else "MISSED") in verdict(result)


def test_without_a_target_nothing_is_met_or_missed() -> None:
    result = Result("a step", SIDES, 2.0, checked="both are 1")
    assert result.is_met is None and verdict(result) == "2 times as fast\nchecked first: both are 1"


def test_only_columns_with_figures_are_shown() -> None:
    def header(sides: list[Side]) -> str:
        console = Console(width=120)
        with console.capture() as captured:
            console.print(table(Result("a step", sides, 2.0)))
        return captured.get()

    assert "GFLOP/s" in header(SIDES) and "1.25" in header(SIDES)
    assert "GFLOP/s" not in header(SIDES[1:]) and "peak GB" not in header(SIDES[1:])


def test_the_ratio_is_the_median_over_rounds() -> None:
    # not the ratio of the medians
    assert Alternated([2.0, 4.0, 90.0], [1.0, 1.0, 9.0]).ratio == 4.0


def test_a_whole_run_takes_more_than_its_steps() -> None:
    result = whole_run(Task("cgan", 32, 8, 4, precision="32"), target=0.1, images=64)
    steps, whole = result.sides
    assert 0 < result.ratio < 1 and result.ratio == pytest.approx(steps.seconds / whole.seconds)
    assert "run of 64 images, 32 px, batch 8, width 4" in result.name and result.is_met


def test_unknown_names_and_devices() -> None:
    with pytest.raises(ColourbenchError, match=r"no benchmark 'trian'.*train"):
        suite.chosen(["trian"])
    assert suite.chosen([]) == list(suite.BENCHMARKS)
    with pytest.raises(ColourbenchError, match="choose auto, cpu or cuda"):
        suite.device_for("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(ColourbenchError, match="finds no GPU"):
        suite.device_for("cuda")


@pytest.mark.parametrize(
    ("instructions", "held"),
    [(("avx512_bf16", "avx2"), True), (("amx_bf16", "avx512_bf16"), False), (("avx2",), False)],
)
def test_targets_are_those_of_the_full_size_on_a_processor_of_their_kind(
    instructions: tuple[str, ...], held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "processor", lambda: Processor("a CPU", instructions))
    assert suite.Plan("cpu").target(2.1) == (2.1 if held else None)
    assert (
        suite.Plan("cpu", quick=True).target(2.1) is None and suite.Plan("cuda").target(2.1) is None
    )


@pytest.mark.parametrize(
    "measure",
    [photographs.lab_conversion, photographs.photograph_to_batch, photographs.per_image_metrics],
)
def test_photograph_benchmarks_check_that_both_do_the_same(
    measure: Callable[[int, int, float | None], Result],
) -> None:
    result = measure(32, 2, 1.0)
    differences = [float(number) for number in re.findall(r"\d\.\de[-+]\d\d", result.checked)]
    assert result.ratio > 0 and differences and max(differences) < 1e-3


def test_each_part_does_the_same_as_torchs_own() -> None:
    results = list(suite.parts(suite.Plan("cpu", quick=True)))
    assert len({result.name for result in results}) == len(results) == 11
    differences = {
        result.name: float(re.findall(r"\d\.\de[-+]\d\d", result.checked)[0]) for result in results
    }
    assert max(differences.values()) < 3e-2  # bfloat16
    assert all(
        value == 0 for name, value in differences.items() if "Adam" in name or "mirror" in name
    )


def test_logging_is_measured_in_the_products_own_loop() -> None:
    result = logging_cost.logging_and_checkpoints(Task("cgan", 32, 4, 4), 6)
    step, beside, saving = (side.seconds for side in result.sides)
    assert result.at_most and result.ratio == pytest.approx(beside / step + saving / 120, rel=1e-6)


def test_a_matrix_rate_is_a_machines() -> None:
    assert 1e8 < matrix_rate(torch.float32, torch.device("cpu"), 1) < 1e16


def test_scaling_is_drawn_over_every_axis() -> None:
    rows = [
        (v, axis, n, n * 10.0, 1.0 + n)
        for v in ("cgan", "egan")
        for axis in ("batch", "size", "threads")
        for n in (1, 2, 4)
    ]
    columns = ["variant", "axis", "value", "images_per_second", "memory_gb"]
    figure = scaling(pd.DataFrame(rows, columns=columns), "else 64 px")
    panels = figure.axes
    assert [panel.get_xlabel() for panel in panels[:3]] == [
        "images in a batch",
        "pixels",
        "threads",
    ]
    assert panels[0].get_ylabel() == "images/s" and panels[3].get_ylabel() == "peak memory, GB"
    drawn = [line.get_xydata() for line in panels[0].get_lines()[:2]]
    assert all(np.array_equal(points, [[1, 10], [2, 20], [4, 40]]) for points in drawn)


@pytest.mark.integration
def test_a_reports_time_and_memory() -> None:
    seconds, memory = suite.report(suite.Plan("cpu", quick=True))
    assert seconds.at_most and 0.5 < seconds.ratio < 300 and 0.2 < memory.ratio < 4
    assert seconds.name == "report of 3 arms x 3 seeds x 200 photographs x 10 metrics"
