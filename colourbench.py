"""The front door: one command, each verb a few lines. Heavy imports stay inside the verbs, so that --help is quick."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.errors import ColourbenchError, Interrupted

if TYPE_CHECKING:
    from studies.home import Home
    from studies.run_config import RunConfig

app = typer.Typer(
    help="Trains GANs that colourise photographs under equal conditions, and says which is better, by how much and how surely.",
    no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown",
)  # fmt: skip
data_app = typer.Typer(help="Photograph sources and prepared data sets.", no_args_is_help=True)
ratings_app = typer.Typer(help="The human study: blinded sheets and what they say.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(ratings_app, name="ratings")

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="COLOURBENCH_HOME", help="Folder that holds everything colourbench writes.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="a.b=v", help="Change a field, as often as needed; `colourbench config VARIANT` lists them."),
]
Configuration = Annotated[Path | None, typer.Option("--config", help="YAML file with fields of a run; --set wins over it.")]
DEFAULT_HOME = Path("runs")


def say(text: str) -> None:
    """Prints a line."""
    print(text, flush=True)


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    """Options before the verb."""
    if debug:
        os.environ["COLOURBENCH_DEBUG"] = "1"


@app.command()
def demo(home: HomeOption = DEFAULT_HOME) -> None:
    """The whole suite in miniature: prepare, sweep, compare, report, rating sheets. Minutes on two CPU cores.

    Example: colourbench demo --home /tmp/try
    """
    from studies.demo import NAME, VARIANTS, run_demo

    outcome = run_demo(_home(home), say, lambda text: say(f"\n{text}"))
    say("\nWhere everything lies:")
    say(f"  data set       {outcome.dataset.folder}")
    say(
        f"  sweeps         {home.resolve() / 'optuna.db'}   best validation ΔE: "
        + ", ".join(f"{k} {v:.2f}" for k, v in outcome.sweeps.items())
    )
    say(f"  runs           {home.resolve() / 'mlflow.db'} and {home.resolve() / 'artifacts'}")
    say(f"  report         {outcome.report}")
    say(f"  rating sheets  {outcome.sheets}   (the key is beside that folder; do not hand it out)")
    say("\nLook at it:")
    say(f"  colourbench ui --home {home}")
    say(f"  colourbench sweeps {NAME}-{VARIANTS[0]} --home {home}")


@data_app.command("list")
def data_list(home: HomeOption = DEFAULT_HOME) -> None:
    """Lists the sources of photographs and the data sets that are prepared.

    Example: colourbench data list
    """
    from common.sources import SOURCES

    say("Sources:")
    for name, source in SOURCES.items():
        say(f"  {name:<15}{source.about}")
    prepared = _home(home).datasets()
    say("\nPrepared data sets:" if prepared else "\nNo data set is prepared yet; see `colourbench data prepare --help`.")
    for name in prepared:
        dataset = _home(home).dataset(name)
        say(f"  {name:<24}{len(dataset.entries):>8} images of {dataset.config.size} px")


@data_app.command("prepare")
def data_prepare(
    source: Annotated[str, typer.Argument(help="A source from `colourbench data list`.")],
    size: Annotated[int, typer.Option(help="Side in pixels that networks see: 32, 64, 128, 256 or 512.")] = 64,
    root: Annotated[Path | None, typer.Option(help="Folder that holds the source.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the data set; by default SOURCE-SIZE, or the folder's name and size.")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch the source first, where it can be fetched.")] = False,
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Filters a source's photographs and writes them as shards. Removed files are listed with their reasons.

    Example: colourbench data prepare folder --root ~/photos --size 128 --set validation=0.2
    """
    from rich.progress import Progress

    from common import preparation, sources
    from common.config import override, parse
    from common.shards import ShardConfig
    from studies import deliver

    _check_size(size)
    config = parse(ShardConfig, override({"size": size, "margin": size // 8}, changes or []), "--set")
    files = sources.list_files(source, root, download)
    name = _valid_name(name or f"{root.resolve().name if root and source == 'folder' else source}-{size}")
    with Progress(transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(f"preparing {name}", total=len(files))
        dataset = preparation.prepare(files, _home(home).data / name, config, lambda done: bar.advance(task, done))
    say(f"{name}: {len(files)} files")
    deliver.describe_dataset(dataset, say)
    say(f"written to {dataset.folder}; next: colourbench train cgan --data {name}")


@data_app.command("show")
def data_show(
    dataset: Annotated[str, typer.Argument(help="A prepared data set.")],
    check: Annotated[bool, typer.Option("--check", help="Also compare every shard with its checksum.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Says what a data set holds and what was removed, and draws a contact sheet.

    Example: colourbench data show packaged-64 --check
    """
    from studies import deliver

    found = _home(home).dataset(dataset)
    if check:
        found.check()
        say("all checksums are right")
    deliver.describe_dataset(found, say)
    say(f"contact sheet: {deliver.contact_sheet(found, found.folder / 'contact-sheet.png')}")


@app.command()
def train(
    variant: Annotated[str, typer.Argument(help="regression, cgan, wgan_gp or egan.")],
    data: Annotated[str | None, typer.Option(help="A prepared data set.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides the first weights and every random draw.")] = None,
    images: Annotated[int | None, typer.Option(help="Short for --set budget.amount=N --set budget.unit=images.")] = None,
    study: Annotated[str, typer.Option(help="MLflow experiment that the run joins.")] = "train",
    changes: SetOption = None,
    config: Configuration = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Trains one run and evaluates it on the test split. The same command again resumes it, or says that it is done.

    Example: colourbench train wgan_gp --data flowers-64 --images 50000 --set variant.n_critic=3
    """
    from common.config import sha256
    from studies.run import Place, train_run

    settings = _run_settings(variant, data, seed, images, changes, config)
    dataset = _home(home).dataset(settings.dataset)
    short = sha256(settings.identity(dataset.fingerprint))[:6]
    place = Place(study, f"{variant} {settings.dataset} seed {settings.seed} {short}", {"kind": "run", "arm": variant})
    run = train_run(_home(home).store, dataset, settings, place)
    say(f"{run.name} is trained (run {run.id[:8]}): its files are in {run.folder}")
    say(f"  next: colourbench evaluate {run.id[:8]}, or colourbench colourise {run.id[:8]} PHOTO --out coloured")


@app.command("sweep")
def sweep_command(
    variant: Annotated[str, typer.Argument(help="regression, cgan, wgan_gp or egan.")],
    data: Annotated[str | None, typer.Option(help="A prepared data set.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Finished trials that the sweep should have, pruned ones included.")] = 20,
    name: Annotated[str | None, typer.Option(help="Name of the sweep; by default VARIANT-DATASET.")] = None,
    objective: Annotated[
        str, typer.Option(help="Validation metric: delta_e, psnr_rgb, psnr_ab, ssim or colourfulness_difference.")
    ] = "delta_e",
    images: Annotated[int | None, typer.Option(help="Short for --set budget.amount=N --set budget.unit=images.")] = None,
    storage: Annotated[str, typer.Option(help="Optuna store; by default an SQLite file in the home folder.")] = "",
    changes: SetOption = None,
    config: Configuration = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Searches a variant's hyper-parameters with Optuna; every trial is a run in MLflow. The same command again goes on.

    Example: colourbench sweep egan --data flowers-64 --trials 30 --images 20000
    """
    from studies import sweep as sweeps

    settings = _run_settings(variant, data, None, images, changes, config)
    name = _valid_name(name or f"{variant}-{settings.dataset}")
    best = sweeps.run_sweep(_home(home), sweeps.Sweep(name, settings, trials, objective, storage=storage), say)
    say(f"\nbest {objective} {best.value:.4g}, with")
    for path, value in best.params.items():
        say(f"  --set {path}={value}")
    say(f"use it in a study with `best_of: {name}`; look at it with colourbench sweeps {name}, or colourbench ui")


@app.command("sweeps")
def sweeps_command(
    name: Annotated[str | None, typer.Argument(help="A sweep; without it, all are listed.")] = None,
    storage: Annotated[str, typer.Option(help="Optuna store; by default an SQLite file in the home folder.")] = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Shows the history of a sweep, trial by trial.

    Example: colourbench sweeps demo-cgan
    """
    from studies import sweep_history

    say(sweep_history.text(_home(home), name, storage))


@app.command()
def compare(
    study: Annotated[Path, typer.Argument(help="A study's YAML file.")],
    dataset: Annotated[str | None, typer.Option("--data", help="Use this data set instead of the file's.")] = None,
    changes: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Trains every arm and seed of a study under one budget, and its baselines. Finished runs are not run again.

    Example: colourbench compare studies/variants.yaml --data flowers-64 --set budget.amount=20000
    """
    from common.config import override, parse, read_yaml_file
    from studies.compare import compare as run_comparison
    from studies.study import Study

    fields = override(read_yaml_file(study), [*([f"dataset={dataset}"] if dataset else []), *(changes or [])])
    settings = parse(Study, fields, str(study))
    failures = run_comparison(_home(home), settings, say)
    if failures:
        raise ColourbenchError("\n".join(str(failure) for failure in failures))
    say(f"the study {settings.name} is complete; next: colourbench report {settings.name}")


@app.command()
def evaluate(
    run: Annotated[str, typer.Argument(help="A run's id, the start of it, or STUDY/RUN NAME.")],
    data: Annotated[str | None, typer.Option(help="Another data set than the one it was trained on.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Scores a trained run on a test split, image by image.

    Example: colourbench evaluate 3f2a91c0 --data pets-64
    """
    from analysis import evaluation
    from studies.run import load_run

    found = _home(home).store.run(run)
    variant, settings = load_run(found)
    name = data or settings.dataset
    table = evaluation.evaluate(variant.colourise, _home(home).dataset(name).split("test"), variant.engine.device)
    path = found.folder / f"metrics-{name}.csv"
    table.to_csv(path, index=False)
    say(f"{found.name} on the test split of {name} ({len(table)} images):")
    for metric, (title, _) in evaluation.METRICS.items():
        say(f"  {title:<38}{table[metric].mean():10.4f}")
    say(f"image by image: {path}")


@app.command()
def report(study: Annotated[str, typer.Argument(help="A study that was compared.")], home: HomeOption = DEFAULT_HOME) -> None:
    """Writes a study's tables (CSV, Markdown, LaTeX), figures (PNG, SVG) and one self-contained HTML page.

    Example: colourbench report demo
    """
    from studies import deliver

    page = deliver.report(_home(home), study)
    say(f"report: {page}\ntables and figures: {page.parent}")


@ratings_app.command("sheets")
def ratings_sheets(
    study: Annotated[str, typer.Argument(help="A study that was compared.")],
    test: Annotated[str, typer.Option(help="`pair`: which of two is real; `opinion`: naturalness from 1 to 5.")] = "pair",
    raters: Annotated[int, typer.Option(min=1, max=1000, help="How many raters.")] = 10,
    trials: Annotated[int, typer.Option(min=4, max=1000, help="Questions for each rater, control questions included.")] = 40,
    seed: Annotated[int, typer.Option(help="Decides order, sides and who sees what.")] = 0,
    arms: Annotated[
        list[str] | None, typer.Option("--arm", help="Rate this arm, as often as needed; by default all but the baselines.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; by default runs/ratings/STUDY.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Makes blinded rating sheets, an XLSX and a CSV for each rater. Hand out the folder `sheets`, and keep `key.json`.

    Example: colourbench ratings sheets demo --test opinion --raters 15 --trials 30
    """
    from analysis.ratings.schedule import Design
    from analysis.ratings.sheets import QUESTIONS, key_summary, read_key
    from studies import deliver

    if test not in QUESTIONS:
        raise ColourbenchError(f"--test {test}: choose {' or '.join(QUESTIONS)}")
    folder = deliver.rating_sheets(_home(home), study, Design(test, raters, trials, seed), out, arms or [])
    counts = key_summary(read_key(folder.parent))
    say(f"sheets for {counts['raters']} raters, {counts['trials']} trials: {folder}")
    say(f"the key, which raters must not see: {folder.parent / 'key.json'}")
    say(f"when they are filled in: colourbench ratings tables {study}")


@ratings_app.command("tables")
def ratings_tables(
    study: Annotated[str, typer.Argument(help="The study whose sheets were filled in.")],
    files: Annotated[
        list[Path] | None, typer.Argument(help="Filled sheets; by default those in the study's sheets folder.")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--from", help="Folder with key.json; by default runs/ratings/STUDY.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Reads filled sheets and writes fooling rates or opinion scores by arm, with intervals, and one tidy table.

    Example: colourbench ratings tables demo ~/returned/*.xlsx
    """
    from studies import deliver

    place = folder or _home(home).ratings(study)
    for name, frame in deliver.rating_results(place, files or []).items():
        say(
            f"{name.replace('_', ' ')}:\n{frame.round(3).to_string(index=False)}\n"
            if len(frame)
            else f"{name}: needs two raters or more\n"
        )
    say(f"tidy answers: {place / 'responses.csv'}\ntables: {place / 'tables'}")


@app.command()
def colourise(
    run: Annotated[str, typer.Argument(help="A run's id, the start of it, or STUDY/RUN NAME.")],
    photographs: Annotated[list[Path], typer.Argument(help="Photographs, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder for the coloured photographs.")],
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Colourises photographs at their own resolution with a trained run.

    Example: colourbench colourise 3f2a91c0 ~/old-photos --out coloured
    """
    from studies.colourise import colourise_files, photographs_in
    from studies.run import load_run

    files = photographs_in(photographs)
    variant, _ = load_run(_home(home).store.run(run), device)
    bad = 0
    for file, result in colourise_files(variant, files, out):
        bad += isinstance(result, ColourbenchError)
        say(str(result) if isinstance(result, ColourbenchError) else f"{file} -> {result}")
    if bad:
        raise ColourbenchError(f"{bad} of {len(files)} files could not be coloured")


@app.command()
def runs(
    study: Annotated[str | None, typer.Argument(help="A study; without it, all.")] = None, home: HomeOption = DEFAULT_HOME
) -> None:
    """Lists runs with their id, status and test figures.

    Example: colourbench runs demo
    """
    store = _home(home).store
    for name in [study] if study else store.studies():
        say(f"{name}:")
        for item in store.find(name, {}):
            figures = {key: item.metrics.get(f"test/{key}") for key in ("delta_e", "psnr_rgb", "colourfulness")}
            shown = "  ".join(f"{key} {value:.2f}" for key, value in figures.items() if value is not None)
            say(f"  {item.id[:8]}  {item.status:<9} {item.name:<40} {shown}")


@app.command()
def config(variant: Annotated[str, typer.Argument(help="regression, cgan, wgan_gp or egan.")]) -> None:
    """Prints every field of a run with its default, range and meaning, as YAML to edit and to use with --config.

    Example: colourbench config egan > egan.yaml
    """
    from common.config import explain_fields

    say(explain_fields(_run_settings(variant, "DATASET", None, None, None, None)))


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Opens MLflow's own UI on this store, at http://127.0.0.1:PORT, until Ctrl-C.

    Example: colourbench ui --port 5001
    """
    from common.tracking import ui_command

    command = ui_command(_home(home).store, port)
    say(f"MLflow's UI: http://127.0.0.1:{port} (Ctrl-C ends it)")
    os.execvp(command[0], command)


def main() -> None:
    """Runs the command; a user's mistake is one or two lines and no traceback."""
    with _told_plainly():
        app()


@contextmanager
def _told_plainly() -> Iterator[None]:
    try:
        yield
    except Interrupted as error:
        _end(error, str(error), 130)
    except ColourbenchError as error:
        _end(error, f"error: {error}", 1)
    except KeyboardInterrupt as error:
        _end(error, "stopped; the same command goes on from the last checkpoint", 130)
    except OSError as error:
        hint = {28: "free some space, or choose another --home", 13: "check the folder's permissions, or choose another --home"}
        _end(error, f"error: {error.strerror or error}: {error.filename or ''} {hint.get(error.errno or 0, '')}".rstrip(": "), 1)


def _end(error: BaseException, text: str, status: int) -> None:
    if os.environ.get("COLOURBENCH_DEBUG"):
        raise error
    print(text, file=sys.stderr)
    sys.exit(status)


def _home(path: Path) -> "Home":
    from studies.home import Home

    return _homes.setdefault(path, Home(path)) if path not in _homes else _homes[path]


_homes: dict[Path, "Home"] = {}


def _run_settings(
    variant: str, data: str | None, seed: int | None, images: int | None, changes: list[str] | None, file: Path | None
) -> "RunConfig":
    """A run's settings from a file, short options and --set, in rising order of precedence."""
    from common.config import merge, override, parse, read_yaml_file
    from studies.run_config import RunConfig
    from variants.registry import variant_class

    variant_class(variant)
    given: dict[str, Any] = merge(read_yaml_file(file) if file else {}, {"variant": {"name": variant}})
    short = {"dataset": data, "seed": seed, "budget": {"amount": images, "unit": "images"} if images else None}
    fields = override(merge(given, {key: value for key, value in short.items() if value is not None}), changes or [])
    if "dataset" not in fields:
        raise ColourbenchError("no data set is named; add --data DATASET (`colourbench data list` shows those that are prepared)")
    return parse(RunConfig, fields, str(file) if file and not changes else "settings")


def _check_size(size: int) -> None:
    if size not in (32, 64, 128, 256, 512):
        raise ColourbenchError(f"--size {size}: the networks are made for 32, 64, 128, 256 or 512 pixels")


def _valid_name(name: str) -> str:
    import re

    from studies.study import NAME

    if not re.match(NAME, name):
        raise ColourbenchError(f"{name!r} cannot be a name: use letters, digits, '.', '_' and '-'; choose one with --name")
    return name


if __name__ == "__main__":
    main()
