"""Verbs of the human study: sheets, the page, collecting answers, tables, withdrawal."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from common.errors import ColourbenchError
from common.files.names import KEY
from studies.commands.options import DEFAULT_HOME, HomeOption, check_exists, check_study, open_home, say

if TYPE_CHECKING:
    from analysis.ratings.design import Design
    from analysis.ratings.page.settings import PageSettings
    from analysis.ratings.store import ResponseStore
    from analysis.ratings.study import RatingStudy
    from analysis.results import Results

StudyName = Annotated[str, typer.Argument(help="A study that was compared.")]
TestOption = Annotated[
    str,
    typer.Option(
        help="`pair`: which of two is real; `single`: real or made by a computer; `opinion`: naturalness from 1 to 5; "
        "`preference`: which of two arms."
    ),
]
PageTest = typer.Option("--test", help="pair (the default), single, opinion or preference; see `ratings sheets --help`.")
PracticeOption = Annotated[
    int | None, typer.Option(min=0, max=50, help="Trials with feedback before a rater's first block; by default 4.")
]
TrialsOption = Annotated[
    int, typer.Option(min=4, max=1000, help="Questions in a block, control questions included and practice not.")
]
SeedOption = Annotated[int, typer.Option(help="Decides order, sides and who sees what.")]
ArmsOption = Annotated[
    list[str] | None, typer.Option("--arm", help="Rate this arm, as often as needed; by default all but the baselines.")
]
FolderOption = Annotated[Path | None, typer.Option("--from", help="Folder with key.json; by default runs/ratings/STUDY.")]
OutOption = Annotated[Path | None, typer.Option(help="Folder to write to; by default runs/ratings/STUDY.")]
ExposureOption = Annotated[
    int | None,
    typer.Option(min=0, max=60_000, help="Milliseconds that a picture is shown, 0 without limit; by default 1000 for pairs."),
]
HostOption = Annotated[str, typer.Option(help="Address to listen on; other machines reach the page only if you change it.")]
HostNameOption = Annotated[
    list[str] | None, typer.Option("--name", help="A host name under which raters reach the page, such as behind a proxy.")
]
AnswersOption = Annotated[
    str, typer.Option("--answers", metavar="URL", help="Store of the answers; by default an SQLite file in the study's folder.")
]


def sheets(
    study: StudyName,
    test: TestOption = "pair",
    raters: Annotated[int, typer.Option(min=1, max=1000, help="How many raters.")] = 10,
    trials: TrialsOption = 40,
    seed: SeedOption = 0,
    arms: ArmsOption = None,
    out: OutOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Makes blinded rating sheets: for each rater a workbook, a CSV file, and a printable form beside a deck of pictures.

    Give each rater only their own folder; keep `key.json` to yourself.

    Example: colourbench ratings sheets demo --test opinion --raters 15 --trials 30
    """
    opened = _begin(study, design_of(test, raters, trials, seed), out or open_home(home).ratings(study), arms, home, sheets=True)
    counts = {trial.rater for trial in opened.key.trials}
    say(f"sheets for {len(counts)} raters, {len(opened.key.trials)} trials: {opened.sheets}")
    say(f"the key, which raters must not see: {opened.folder / KEY}")
    say(f"when they are filled in: colourbench ratings collect {study}")


def serve(
    study: StudyName,
    test: Annotated[str | None, PageTest] = None,
    trials: Annotated[int | None, typer.Option(min=4, max=1000, help="Questions in a block; by default 40.")] = None,
    practice: PracticeOption = None,
    exposure: ExposureOption = None,
    seed: Annotated[int | None, typer.Option(help="Decides order, sides and who sees what; by default 0.")] = None,
    arms: ArmsOption = None,
    consent: Annotated[Path | None, typer.Option(help="Text file that raters agree to, instead of the suite's.")] = None,
    completion_url: Annotated[str, typer.Option(help="Where raters go at the end, such as a recruiting service's page.")] = "",
    most_raters: Annotated[int, typer.Option(min=1, help="Accept no more raters than these.")] = 10_000,
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port.")] = 8000,
    name: HostNameOption = None,
    out: OutOption = None,
    answers: AnswersOption = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Serves the study as a web page until Ctrl-C; every answer is on the disk before the rater sees the next picture.

    The first call begins the study; later calls go on with it, and take --test, --trials, --practice, --exposure from its key.

    Example: colourbench ratings serve demo --test pair --trials 40

    Example: colourbench ratings serve demo --completion-url "https://app.prolific.com/submissions/complete?cc=CODE"
    """
    check_exists(consent)
    given = {"test": test, "trials": trials, "practice": practice, "exposure_ms": exposure, "seed": seed}
    settings = _page_settings(consent, completion_url, most_raters, host, name)
    folder = out or open_home(home).ratings(study)
    opened = _going_on(folder, given, arms) if (folder / KEY).exists() else _begin_page(study, given, folder, arms, home)
    from analysis.ratings.page import server

    server.serve(opened, store_of(opened, answers), settings, host, port, say)


def collect(
    study: StudyName,
    files: Annotated[
        list[Path] | None, typer.Argument(help="Filled sheets (XLSX, ODS, CSV); by default those in the study's folder.")
    ] = None,
    folder: FolderOption = None,
    answers: AnswersOption = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Takes the answers of filled sheets into the study's store. Doing it twice changes nothing; what cannot be used is named.

    Example: colourbench ratings collect demo ~/returned/*.xlsx
    """
    check_exists(folder, *(files or []))
    opened = _open(folder or open_home(home).ratings(study))
    from analysis.ratings.answers.collection import collect as collect_sheets
    from analysis.ratings.answers.collection import filled_sheets

    collected = collect_sheets(opened, store_of(opened, answers), files or filled_sheets(opened))
    for problem in collected.problems:
        say(problem)
    say(
        f"{collected.new} new answers, {collected.known} known already, {collected.blank} blank, {len(collected.problems)} unusable"
    )
    say(f"then: colourbench ratings tables {study}")


def tables(
    study: StudyName,
    folder: FolderOption = None,
    answers: AnswersOption = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Writes what people say: rates or scores by arm with intervals, differences, raters' attention and agreement.

    Where the study's runs are in the home folder, people are compared with metrics too.

    Example: colourbench ratings tables demo
    """
    check_exists(folder)
    opened = _open(folder or open_home(home).ratings(study))
    store = store_of(opened, answers)
    from analysis.ratings.answers import results

    written = results.write(opened, store, _compared(home, study))
    print_tables(written)
    say(f"tidy answers: {opened.folder / 'responses.csv'}\ntables: {opened.folder / 'tables'}")


def withdraw(
    study: StudyName,
    code: Annotated[str, typer.Argument(help="The code that the rater got at the end.")],
    folder: FolderOption = None,
    answers: AnswersOption = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Removes everything that a rater answered, for good. A keyed hash stays, so that a sheet that comes later is left out.

    Example: colourbench ratings withdraw demo 527D08844129
    """
    opened = _open(folder or open_home(home).ratings(study))
    store = store_of(opened, answers)
    everybody = {row["rater"] for row in store.raters()} | {trial.rater for trial in opened.key.trials}
    rater = {opened.key.withdrawal_code(rater): rater for rater in everybody}.get(code.strip().upper())
    if rater is None:
        raise ColourbenchError(f"no rater of {study} has the code {code}; perhaps a letter is wrong, or it is another study's")
    removed = store.withdraw(rater, opened.keyed(rater))
    (opened.folder / "responses.csv").unlink(missing_ok=True)
    shutil.rmtree(opened.folder / "tables", ignore_errors=True)
    say(f"{removed} answers are removed, and the tables that held them; write them again: colourbench ratings tables {study}")


def design_of(test: str, raters: int, trials: int, seed: int, practice: int = 0) -> "Design":
    """The design from a verb's options.

    Raises:
        ColourbenchError: there is no such test.
    """
    from analysis.ratings.design import PROTOCOLS, TESTS, Design

    if test not in TESTS:
        raise ColourbenchError(f"--test {test}: choose {', '.join(TESTS)}")
    return Design(cast(Any, test), raters, trials, seed, practice, PROTOCOLS[cast(Any, test)].exposure_ms)


def _begin_page(study: str, given: dict[str, Any], folder: Path, arms: list[str] | None, home: Path) -> "RatingStudy":
    """Begins a study for the page, with what was given and the defaults for the rest."""
    known = {name: value for name, value in given.items() if value is not None}
    design = design_of(known.get("test", "pair"), 0, known.get("trials", 40), known.get("seed", 0), known.get("practice", 4))
    design = replace(design, exposure_ms=known.get("exposure_ms", design.exposure_ms))
    return _begin(study, design, folder, arms, home, sheets=False)


def _going_on(folder: Path, given: dict[str, Any], arms: list[str] | None) -> "RatingStudy":
    """Opens a study that has begun; options that contradict its key are refused."""
    opened = _open(folder)
    wanted = {name: value for name, value in given.items() if value is not None}
    other = {name: getattr(opened.key.design, name) for name in wanted if wanted[name] != getattr(opened.key.design, name)}
    if arms and set(arms) != set(opened.key.arms):
        other["arm"] = ", ".join(opened.key.arms)
    if other:
        kept = ", ".join(f"{name.removesuffix('_ms')} {value}" for name, value in other.items())
        raise ColourbenchError(f"{folder} has begun with {kept}; leave these options out, or begin another study with --out")
    return opened


def _begin(study: str, design: "Design", folder: Path, arms: list[str] | None, home: Path, *, sheets: bool) -> "RatingStudy":
    check_study(home, study)
    from analysis import results  # imported after the checks that do not need torch
    from analysis.ratings.sheets import handout
    from analysis.ratings.study import RatingStudy

    compared = results.load(open_home(home).store, open_home(home).data, study)
    return RatingStudy.begin(compared, design, folder, arms or [], handout.write if sheets else None)


def _compared(home: Path, study: str) -> "Results | None":
    """The study whose photographs are rated, if its runs are in this home."""
    from analysis import results

    try:
        return results.load(open_home(home).store, open_home(home).data, study)
    except ColourbenchError:
        return None


def _page_settings(
    consent: Path | None, completion_url: str, most_raters: int, host: str, names: list[str] | None
) -> "PageSettings":
    from analysis.ratings.page.settings import PageSettings

    given: dict[str, Any] = {"consent": consent.read_text(encoding="utf-8", errors="replace")} if consent else {}
    everywhere = host in ("0.0.0.0", "::") and not names
    hosts = ("*",) if everywhere else (host, *(names or ()), *PageSettings.hosts)
    return PageSettings(completion_url=completion_url, most_raters=most_raters, hosts=hosts, **given)


def _open(folder: Path) -> "RatingStudy":
    from analysis.ratings.study import RatingStudy

    return RatingStudy(folder)


def store_of(study: "RatingStudy", url: str) -> "ResponseStore":
    """The store of a study's answers: at the URL, or in its folder."""
    from analysis.ratings.store import ResponseStore

    return ResponseStore(url or study.database)


def print_tables(frames: dict[str, Any]) -> None:
    """Prints tables with their names."""
    for name, frame in frames.items():
        title = name.replace("_", " ")
        text = (
            frame.round(3).to_string(index=False)
            if len(frame)
            else "nothing yet: more raters must see the same photographs in other arms"
        )
        say(f"{title}:\n{text}\n")
