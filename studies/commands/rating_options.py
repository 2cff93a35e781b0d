"""Options that verbs of the human study share."""

from pathlib import Path
from typing import Annotated

import typer

StudyName = Annotated[str, typer.Argument(help="A study that was compared.")]
TestOption = Annotated[
    str,
    typer.Option(
        help="`pair`: which of two is real; `single`: real or made by a computer; `opinion`: naturalness from 1 to 5; "
        "`preference`: which of two arms."
    ),
]
PageTest = typer.Option(
    "--test", help="pair (the default), single, opinion or preference; see `ratings sheets --help`."
)
PracticeOption = Annotated[
    int | None,
    typer.Option(
        min=0, max=50, help="Trials with feedback before a rater's first block; by default 4."
    ),
]
TrialsOption = Annotated[
    int,
    typer.Option(
        min=4, max=1000, help="Questions in a block, control questions included and practice not."
    ),
]
SeedOption = Annotated[int, typer.Option(help="Decides order, sides and who sees what.")]
ArmsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--arm", help="Rate this arm, as often as needed; by default all but the baselines."
    ),
]
FolderOption = Annotated[
    Path | None, typer.Option("--from", help="Folder with key.json; by default runs/ratings/STUDY.")
]
OutOption = Annotated[
    Path | None, typer.Option(help="Folder to write to; by default runs/ratings/STUDY.")
]
ExposureOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=60_000,
        help="Milliseconds that a picture is shown, 0 without limit; by default 1000 for pairs.",
    ),
]
MattersOption = Annotated[
    float,
    typer.Option(
        "--difference",
        min=0.01,
        help="The smallest difference that matters: points of a rate, or of a 1–5 score.",
    ),
]
PlannedRatersOption = Annotated[
    int | None,
    typer.Option(
        "--raters",
        min=8,
        help="The number of raters that is planned; at this number the tables decide as a fixed design does, and `status` "
        "before it. Without it every look is an early one.",
    ),
]
HostOption = Annotated[
    str,
    typer.Option(help="Address to listen on; other machines reach the page only if you change it."),
]
HostNameOption = Annotated[
    list[str] | None,
    typer.Option(
        "--name", help="A host name under which raters reach the page, such as behind a proxy."
    ),
]
AnswersOption = Annotated[
    str,
    typer.Option(
        "--answers",
        metavar="URL",
        help="Store of the answers; by default an SQLite file in the study's folder.",
    ),
]
ServeTrialsOption = Annotated[
    int | None, typer.Option(min=4, max=1000, help="Questions in a block; by default 40.")
]
ServeSeedOption = Annotated[
    int | None, typer.Option(help="Decides order, sides and who sees what; by default 0.")
]
ConsentOption = Annotated[
    Path | None, typer.Option(help="Text file that raters agree to, instead of the suite's.")
]
CompletionUrlOption = Annotated[
    str | None,
    typer.Option(help="Where raters go at the end, such as a recruiting service's page."),
]
OutcomeUrlOption = Annotated[
    list[str] | None,
    typer.Option(
        "--outcome-url",
        metavar="OUTCOME=URL",
        help="Where a rater goes instead whose `attention` failed, who is `screened_out`, who finds the study `full`, or "
        "gives `no_consent`; as often as needed.",
    ),
]
BlocksOption = Annotated[
    int | None,
    typer.Option("--blocks", min=1, max=100, help="Blocks that a rater may do; by default 1."),
]
MostRatersOption = Annotated[
    int | None, typer.Option(min=1, help="Accept no more raters who answer; by default 10,000.")
]
RequireIdOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Let in only who comes with this parameter in the address, such as PROLIFIC_PID, workerId (MTurk) or "
        "survey_code (SONA); without it these are known, and nobody needs one.",
    ),
]
PortOption = Annotated[int, typer.Option(min=1, max=65535, help="Port.")]
