"""Verbs of the human study: sheets, the page, collecting answers, tables."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from common.errors import ColourbenchError
from common.system.names import KEY
from studies.commands.options import (
    DEFAULT_HOME,
    HomeOption,
    check_exists,
    check_study,
    open_home,
    say,
)
from studies.commands.rating_options import (
    AnswersOption,
    ArmsOption,
    BlocksOption,
    CompletionUrlOption,
    ConsentOption,
    ExposureOption,
    FolderOption,
    HostNameOption,
    HostOption,
    MattersOption,
    MostRatersOption,
    OutcomeUrlOption,
    OutOption,
    PageTest,
    PlannedRatersOption,
    PortOption,
    PracticeOption,
    RequireIdOption,
    SeedOption,
    ServeSeedOption,
    ServeTrialsOption,
    StudyName,
    TestOption,
    TrialsOption,
)

if TYPE_CHECKING:
    from analysis.people.design import Design
    from analysis.results import Results
    from studies.people.store import ResponseStore
    from studies.people.study import RatingStudy


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
    opened = _begin(
        study,
        design_of(test, raters, trials, seed),
        out or open_home(home).ratings(study),
        arms,
        home,
        sheets=True,
    )
    counts = {trial.rater for trial in opened.key.trials}
    say(f"sheets for {len(counts)} raters, {len(opened.key.trials)} trials: {opened.sheets}")
    say(f"the key, which raters must not see: {opened.folder / KEY}")
    say(f"when they are filled in: colourbench ratings collect {study}")


def serve(
    study: StudyName,
    test: Annotated[str | None, PageTest] = None,
    raters: PlannedRatersOption = None,
    trials: ServeTrialsOption = None,
    practice: PracticeOption = None,
    exposure: ExposureOption = None,
    seed: ServeSeedOption = None,
    arms: ArmsOption = None,
    consent: ConsentOption = None,
    completion_url: CompletionUrlOption = None,
    outcome_url: OutcomeUrlOption = None,
    blocks: BlocksOption = None,
    most_raters: MostRatersOption = None,
    require_id: RequireIdOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    name: HostNameOption = None,
    out: OutOption = None,
    answers: AnswersOption = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Serves the study as a web page until Ctrl-C; every answer is on the disk before the rater sees the next picture.

    The first call begins the study; later calls go on with it, and take --test, --trials, --practice, --exposure from its key,
    and consent, completion address, limit and required id from the call before, unless they are given again.

    Example: colourbench ratings serve demo --test pair --trials 40

    Example: colourbench ratings serve demo --completion-url "https://app.prolific.com/submissions/complete?cc=CODE"
    """
    check_exists(consent)
    given = {
        "test": test,
        "raters": raters,
        "trials": trials,
        "practice": practice,
        "exposure_ms": exposure,
        "seed": seed,
    }
    from studies.pages.ratings.settings import PageSettings

    folder = out or open_home(home).ratings(study)
    settings = PageSettings.of(
        folder,
        _hosts(host, name),
        consent=consent.read_text(encoding="utf-8", errors="replace") if consent else None,
        completion_url=completion_url,
        outcome_urls=_by_outcome(outcome_url),
        most_blocks=blocks,
        most_raters=most_raters,
        required_id=require_id,
    )
    opened = (
        _going_on(folder, given, arms)
        if (folder / KEY).exists()
        else _begin_page(study, given, folder, arms, home)
    )
    from studies.pages.ratings import server

    server.serve(opened, store_of(opened, answers), settings, host, port, say)


def collect(
    study: StudyName,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Filled sheets (XLSX, ODS, CSV); by default those in the study's folder."
        ),
    ] = None,
    replace_answers: Annotated[
        bool,
        typer.Option("--replace", help="Let answers of a corrected sheet replace earlier ones."),
    ] = False,
    folder: FolderOption = None,
    answers: AnswersOption = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Takes the answers of filled sheets into the study's store. Doing it twice changes nothing; what cannot be used is named.

    Example: colourbench ratings collect demo ~/returned/*.xlsx
    """
    check_exists(folder, *(files or []))
    opened = open_study(folder or open_home(home).ratings(study))
    from studies.people.collection import collect as collect_sheets
    from studies.people.collection import filled_sheets

    store = store_of(opened, answers)
    collected = collect_sheets(opened, store, files or filled_sheets(opened), replace_answers)
    for problem in collected.problems:
        say(problem)
    say(
        f"{collected.new} new answers, {collected.known} known already, {collected.corrected} corrected, "
        f"{collected.blank} blank, {len(collected.problems)} unusable"
    )
    say(f"then: colourbench ratings tables {study}")


def tables(
    study: StudyName,
    difference: MattersOption = 5.0,
    folder: FolderOption = None,
    answers: AnswersOption = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Writes what people say: rates or scores by arm with intervals, differences, raters' attention and agreement.

    Where the study's runs are in the home folder, people are compared with metrics too.

    Example: colourbench ratings tables demo
    """
    check_exists(folder)
    opened = open_study(folder or open_home(home).ratings(study))
    store = store_of(opened, answers)
    from analysis.report.people import replaced_runs
    from studies.people import results

    compared = _compared(home, study)
    scale = points(opened.key.design.test)
    written = results.write(opened, store, difference / scale, compared)
    print_tables(written)
    if compared and (replaced := replaced_runs(opened.folder, compared)):
        say(f"these answers are about other networks than the study has now: {', '.join(replaced)}")
    say(
        f"tidy answers: {opened.folder / 'responses.csv'} (columns: codebook.csv)\ntables: {opened.folder / 'tables'}"
    )


def points(test: str) -> float:
    """How many points, as users give and read them, one unit of a test's answers has."""
    return 1.0 if test == "opinion" else 100.0


def design_of(test: str, raters: int, trials: int, seed: int, practice: int = 0) -> "Design":
    """The design from a verb's options.

    Raises:
        ColourbenchError: there is no such test.
    """
    from analysis.people.design import PROTOCOLS, TESTS, Design

    if test not in TESTS:
        raise ColourbenchError(f"--test {test}: choose {', '.join(TESTS)}")
    return Design(
        cast(Any, test), raters, trials, seed, practice, PROTOCOLS[cast(Any, test)].exposure_ms
    )


def _begin_page(
    study: str, given: dict[str, Any], folder: Path, arms: list[str] | None, home: Path
) -> "RatingStudy":
    """Begins a study for the page, with what was given and the defaults for the rest."""
    known = {name: value for name, value in given.items() if value is not None}
    design = design_of(
        known.get("test", "pair"),
        known.get("raters", 0),
        known.get("trials", 40),
        known.get("seed", 0),
        known.get("practice", 4),
    )
    design = replace(design, exposure_ms=known.get("exposure_ms", design.exposure_ms))
    return _begin(study, design, folder, arms, home, sheets=False)


def _going_on(folder: Path, given: dict[str, Any], arms: list[str] | None) -> "RatingStudy":
    """Opens a study that has begun; options that contradict its key are refused."""
    opened = open_study(folder)
    wanted = {name: value for name, value in given.items() if value is not None}
    other = {
        name: getattr(opened.key.design, name)
        for name in wanted
        if wanted[name] != getattr(opened.key.design, name)
    }
    if arms and set(arms) != set(opened.key.arms):
        other["arm"] = ", ".join(opened.key.arms)
    if other:
        kept = ", ".join(f"{name.removesuffix('_ms')} {value}" for name, value in other.items())
        raise ColourbenchError(
            f"{folder} has begun with {kept}; leave these options out, or begin another study with --out"
        )
    return opened


def _begin(
    study: str, design: "Design", folder: Path, arms: list[str] | None, home: Path, *, sheets: bool
) -> "RatingStudy":
    check_study(home, study)
    from analysis import results  # imported after the checks that do not need torch
    from studies.people.sheets import handout
    from studies.people.study import RatingStudy

    compared = results.load(open_home(home).store, open_home(home).data, study)
    return RatingStudy.begin(
        compared, design, folder, arms or [], handout.write if sheets else None
    )


def _compared(home: Path, study: str) -> "Results | None":
    """The study whose photographs are rated, if its runs are in this home."""
    from analysis import results

    try:
        return results.load(open_home(home).store, open_home(home).data, study)
    except ColourbenchError:
        return None


def _by_outcome(given: list[str] | None) -> dict[str, str] | None:
    """OUTCOME=URL pairs as a mapping; None where none is given."""
    if not given:
        return None
    wrong = [pair for pair in given if "=" not in pair]
    if wrong:
        raise ColourbenchError(f"--outcome-url {wrong[0]}: write OUTCOME=URL")
    return dict(pair.split("=", 1) for pair in given)


def _hosts(host: str, names: list[str] | None) -> tuple[str, ...]:
    """Names under which the page may be asked for; any name if it listens everywhere and none is given."""
    from studies.pages.ratings.settings import PageSettings

    if host in ("0.0.0.0", "::") and not names:
        return ("*",)
    return (host, *(names or ()), *PageSettings.hosts)


def open_study(folder: Path) -> "RatingStudy":
    from studies.people.study import RatingStudy

    return RatingStudy(folder)


def store_of(study: "RatingStudy", url: str) -> "ResponseStore":
    """The store of a study's answers: at the URL, or in its folder."""
    from studies.people.store import ResponseStore

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
