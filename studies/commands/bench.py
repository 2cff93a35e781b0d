"""The verb `bench`: measures speed and memory against plain reference implementations."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.errors import ColourbenchError
from studies.commands.options import one_process, say

if TYPE_CHECKING:
    from studies.bench.result import Result
    from studies.bench.suite import Plan


def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="train, wgan-gp, egan, small, whole, lab, data, metrics, parts, logging, sweep, report; all.",
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small images and networks, few rounds, no targets.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    storage: Annotated[str, typer.Option(help="Optuna store for `sweep`; by default SQLite.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one record a line instead of tables.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Instead, measure how speed and memory scale; write table and figure into this folder."
        ),
    ] = None,
) -> None:
    """Measures the hot paths against plain reference implementations, timed in alternation after a check that results are equal.

    Figures are medians and ratios of one run on the processor that is printed first: compare machines by ratios. Memory is measured
    in a separate process. The benchmarks lab, data, metrics and parts run on the CPU, whatever --device says.

    Example: colourbench bench train egan

    Example: colourbench bench --quick --json > bench.jsonl

    Example: colourbench bench --plot scaling
    """
    from studies.bench import suite  # imported late, so that --help is fast

    one_process("bench")
    wanted = suite.chosen(names or [])
    plan = suite.Plan(suite.device_for(device), quick, storage)
    if plot:
        if names or as_json:
            raise ColourbenchError(
                "--plot measures how all variants scale, and writes a table; leave names and --json out"
            )
        _scaling(plan, plot)
        return
    if not as_json:
        _say_where(plan)
    for name in wanted:
        for result in suite.run(name, plan):
            _show(result, as_json)


def _show(result: "Result", as_json: bool) -> None:
    from rich.console import Console

    from common.system.processor import processor
    from studies.bench.result import table, verdict

    if as_json:
        say(json.dumps(result.record() | {"processor": str(processor())}, ensure_ascii=False))
    else:
        Console().print(result.name, table(result), verdict(result), "", highlight=False)


def _say_where(plan: "Plan") -> None:
    import torch

    from common.system.processor import processor
    from studies.bench.suite import TARGETS_OF, is_of_the_targets_kind

    say(f"{processor()}, {torch.get_num_threads()} threads; training steps on {plan.device}")
    if plan.device == "cpu" and not plan.quick and not is_of_the_targets_kind():
        say(f"targets hold for processors with {TARGETS_OF}: here ratios are shown without them")
    say("")


def _scaling(plan: "Plan", folder: Path) -> None:
    from analysis.figures import drawing, scaling_figures
    from studies.bench.measurements.scaling import scaling

    # before measuring: a folder that cannot be made would lose the results
    folder.mkdir(parents=True, exist_ok=True)
    base = plan.task("cgan", 8)
    table = scaling(base, say)
    if table.empty:
        raise ColourbenchError("nothing could be measured; the reasons are above")
    table.to_csv(folder / "scaling.csv", index=False)
    held = f"else {base.size} px, batch {base.batch}, width {base.base_width}, {base.device}; WGAN-GP: a critic update"
    path = drawing.save(scaling_figures.scaling(table, held), folder, "scaling")
    say(f"table and figure: {folder / 'scaling.csv'}, {path}")
