"""The front door: one command and its verbs. Each verb lives in studies/commands and imports what is heavy inside itself."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from common.errors import ColourbenchError, Interrupted, end_politely_when_told, first_line
from studies.commands import bench, cluster, data, ratings, results, training
from studies.commands.options import DEFAULT_HOME, HomeOption, VariantArgument, open_home, run_settings, say

app = typer.Typer(
    help="Trains GANs that colourise photographs under equal conditions, and says which is better, by how much and how surely.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
data_app = typer.Typer(help="Photograph sources and prepared data sets.", no_args_is_help=True)
ratings_app = typer.Typer(help="The human study: blinded sheets and what they say.", no_args_is_help=True)


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

    outcome = run_demo(open_home(home), say, lambda text: say(f"\n{text}"))
    say("\nWhere everything lies:")
    say(f"  data set       {outcome.dataset.folder}")
    say(
        f"  sweeps         {home.resolve() / 'optuna.db'}   best validation ΔE: "
        + ", ".join(f"{k} {v:.2f}" for k, v in outcome.sweeps.items())
    )
    say(f"  runs           {home.resolve() / 'mlflow.db'} and {home.resolve() / 'artifacts'}")
    say(f"  report         {outcome.report}")
    say(f"  rating sheets  {outcome.sheets}   (a folder for each rater; key.json, beside them, is yours alone)")
    say("\nLook at it:")
    say(f"  colourbench ui --home {home}")
    say(f"  colourbench sweeps {NAME}-{VARIANTS[0]} --home {home}")


MEASURING: tuple[Callable[..., None], ...] = (bench.bench,)
TRAINING: tuple[Callable[..., None], ...] = (
    training.train,
    training.estimate,
    training.sweep,
    training.sweeps,
    training.compare,
    training.plan,
)
RESULTS: tuple[Callable[..., None], ...] = (results.evaluate, results.report, results.runs, results.colourise)
for verb in (*TRAINING, *RESULTS, *MEASURING):
    app.command()(verb)
app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(cluster.submit)


@app.command()
def config(variant: VariantArgument) -> None:
    """Prints every field of a run with its default, range and meaning, as YAML to edit and to use with --config.

    Example: colourbench config egan > egan.yaml
    """
    from common.config import explain_fields

    say(explain_fields(run_settings(variant, "DATASET", None, None, None, None)))


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Opens MLflow's own UI on this store, at http://127.0.0.1:PORT, until Ctrl-C.

    Example: colourbench ui --port 5001
    """
    from common.tracking import ui_command

    command = ui_command(open_home(home).store, port)
    say(f"MLflow's UI: http://127.0.0.1:{port} (Ctrl-C ends it)")
    os.execvp(command[0], command)


data_app.command("list")(data.list_data)
data_app.command()(data.prepare)
data_app.command()(data.show)
data_app.command()(data.export)
data_app.command()(data.weights)
ratings_app.command()(ratings.sheets)
ratings_app.command()(ratings.tables)
app.add_typer(data_app, name="data")
app.add_typer(ratings_app, name="ratings")


def main() -> None:
    """Runs the command; a user's mistake is one or two lines and no traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that this terminal cannot show is no reason to end
    with _told_plainly():
        end_politely_when_told()
        app()


STORES = ("mlflow", "sqlalchemy", "optuna", "sqlite3")  # whose errors have no common type


@contextmanager
def _told_plainly() -> Iterator[None]:
    try:
        yield
    except Interrupted as error:
        _end(error, str(error), 130)
    except ColourbenchError as error:
        _end(error, f"error: {error}", 1)
    except OSError as error:
        hint = {28: "free some space, or choose another --home", 13: "check the folder's permissions, or choose another --home"}
        _end(error, f"error: {error.strerror or error}: {error.filename or ''} {hint.get(error.errno or 0, '')}".rstrip(": "), 1)
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in STORES:
            raise
        _end(error, f"error: the store of runs or sweeps failed: {first_line(error)}; is its disk full, or its server down?", 1)


def _end(error: BaseException, text: str, status: int) -> None:
    if os.environ.get("COLOURBENCH_DEBUG"):
        raise error
    print(text, file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
