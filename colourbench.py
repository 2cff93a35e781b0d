"""The command-line entry point: one command and its verbs. The verbs are in studies/commands and import heavy packages lazily."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from common.errors import ColourbenchError, Interrupted, first_line
from common.system.names import DEBUG
from common.system.signals import interrupt_on_signal
from studies.commands import (
    bench,
    cluster,
    compare,
    data,
    demo,
    rating_imports,
    rating_people,
    rating_plans,
    ratings,
    results,
    serve,
    sweep,
    train,
    use,
)

app = typer.Typer(
    help="Trains GANs that colourise photographs under equal conditions, and says which is better, by how much and how surely.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
data_app = typer.Typer(help="Photograph sources and prepared data sets.", no_args_is_help=True)
ratings_app = typer.Typer(
    help="The human study: planning, the page and sheets, and what people say.",
    no_args_is_help=True,
)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Handles the options that come before the verb."""
    if debug:
        os.environ[DEBUG] = "1"


VERBS: tuple[Callable[..., None], ...] = (
    demo.demo,
    train.train,
    train.config,
    train.estimate,
    sweep.sweep,
    sweep.sweeps,
    compare.compare,
    compare.plan,
    results.evaluate,
    results.report,
    results.runs,
    use.colourise,
    use.export,
    serve.serve,
    results.ui,
    bench.bench,
)
for verb in VERBS:
    app.command()(verb)
app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(
    cluster.submit
)
data_app.command("list")(data.list_data)
data_app.command()(data.prepare)
data_app.command()(data.show)
data_app.command()(data.export)
data_app.command()(data.weights)
ratings_app.command()(rating_plans.plan)
for verb in (
    ratings.sheets,
    ratings.serve,
    ratings.collect,
    rating_plans.status,
    ratings.tables,
    rating_people.raters,
    rating_people.withdraw,
):
    ratings_app.command()(verb)
ratings_app.command("import")(rating_imports.import_answers)
ratings_app.command()(rating_imports.metrics)
app.add_typer(data_app, name="data")
app.add_typer(ratings_app, name="ratings")


def main() -> None:
    """Runs the command; reports a user's mistake in one or two lines, without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a name that the terminal cannot show must not end the command
    with _told_plainly():
        interrupt_on_signal()
        app()


STORES = (
    "mlflow",
    "sqlalchemy",
    "optuna",
    "sqlite3",
)  # packages whose errors have no common base class


@contextmanager
def _told_plainly() -> Iterator[None]:
    try:
        yield
    except Interrupted as error:
        _end(error, str(error), 130)
    except ColourbenchError as error:
        _end(error, f"error: {error}", 1)
    except OSError as error:
        hint = {
            28: "free some space, or choose another --home",
            13: "check the folder's permissions, or choose another --home",
        }
        _end(
            error,
            f"error: {error.strerror or error}: {error.filename or ''} {hint.get(error.errno or 0, '')}".rstrip(
                ": "
            ),
            1,
        )
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in STORES:
            raise
        _end(
            error,
            f"error: the store of runs or sweeps failed: {first_line(error)}; is its disk full, or its server down?",
            1,
        )


def _end(error: BaseException, text: str, status: int) -> None:
    if os.environ.get(DEBUG):
        raise error
    print(text, file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
