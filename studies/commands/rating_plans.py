"""Verbs around a human study: how many raters it needs, and whether it may stop."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.errors import ColourbenchError
from studies.commands.options import DEFAULT_HOME, HomeOption, open_home, say
from studies.commands.rating_options import AnswersOption, FolderOption, MattersOption, TestOption
from studies.commands.ratings import design_of, points, store_of

if TYPE_CHECKING:
    import pandas as pd

    from analysis.people.design import TestName


DifferenceOption = Annotated[
    float,
    typer.Option(help="The smallest difference that matters: points of a rate, or of a 1–5 score."),
]
RatersOption = Annotated[
    int | None, typer.Option(min=8, help="Only the power of this many raters.")
]
TrialsOption = Annotated[
    int,
    typer.Option(min=4, max=1000, help="Questions for each rater, control questions included."),
]
PhotographsOption = Annotated[
    int, typer.Option(min=2, help="Photographs in the study; a comparison keeps up to 64.")
]
ArmsOption = Annotated[int, typer.Option(min=2, max=20, help="Arms that are rated.")]
SeedsOption = Annotated[int, typer.Option(min=1, help="Seeds of each arm.")]
PilotOption = Annotated[
    str | None,
    typer.Option(help="A human study whose answers tell how people and photographs differ."),
]
StudiesOption = Annotated[
    int, typer.Option(min=20, help="Simulated studies for each number of raters.")
]
SeedOption = Annotated[int, typer.Option(help="Of the simulation.")]
RejectedOption = Annotated[
    float,
    typer.Option(
        min=0.0, max=0.9, help="Share of raters that the rules will reject, from experience."
    ),
]
PayOption = Annotated[
    float | None, typer.Option("--pay", min=0.0, help="What an hour costs, in your currency.")
]
TOO_MANY = "no realistic number of raters is enough: raise --seeds, --photographs or --difference"
PRACTICE = 4  # trials with feedback before a rater's block on the page


def plan(
    difference: DifferenceOption,
    test: TestOption = "pair",
    raters: RatersOption = None,
    trials: TrialsOption = 40,
    photographs: PhotographsOption = 60,
    arms: ArmsOption = 4,
    seeds: SeedsOption = 5,
    pilot: PilotOption = None,
    studies: StudiesOption = 200,
    seed: SeedOption = 0,
    rejected: RejectedOption = 0.1,
    pay: PayOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Says how many raters see a difference: the share of simulated studies that find it, by the number of raters.

    A study that was planned so decides at this number (`ratings serve --raters N`). Also says how long it takes and what it costs.

    Example: colourbench ratings plan --difference 5 --arms 4 --seeds 5 --pay 12

    Example: colourbench ratings plan --difference 10 --pilot demo
    """
    from analysis.people.planning import power

    design = design_of(test, raters or 0, trials, seed)
    people = (
        power.from_pilot(_answers(home, pilot), design.test)
        if pilot
        else power.assumed(design.test)
    )
    real = difference / points(design.test)
    if not 0 < real < 4:
        raise ColourbenchError(f"--difference {difference}: give a positive number of points")
    source = f"From the pilot {pilot}" if pilot else "Assumed"
    say(f"{source}: {people.in_words(design.test)}")
    shape = (photographs, arms, seeds, real, people, studies, seed)
    powers = power.raters_needed(design, *shape)
    if raters:
        powers = iter([(raters, power.power(design, *shape))])
    costs = Costs(replace(design, practice=PRACTICE).minutes, rejected, pay)
    reached = _say_powers(powers, trials, costs)
    if not raters and reached < power.ENOUGH:
        say(TOO_MANY)


@dataclass(frozen=True)
class Costs:
    """What raters cost: the minutes of one, the share that is rejected, and the price of an hour if it is known."""

    minutes: int
    rejected: float
    pay: float | None

    def invited(self, raters: int) -> int:
        """How many are invited so that this many are kept."""
        return math.ceil(raters / (1 - self.rejected) - 1e-9)

    def in_words(self, raters: int) -> str:
        """What it takes to have this many raters whose answers count."""
        invited = self.invited(raters)
        hours = invited * self.minutes / 60
        price = f", {hours * self.pay:,.0f} at {self.pay:g} an hour" if self.pay is not None else ""
        return (
            f"for {raters} raters who count, invite {invited} ({self.rejected:.0%} rejected): "
            f"{self.minutes} minutes each, {hours:.1f} hours in all{price}"
        )


def _say_powers(powers: Iterator[tuple[int, float]], trials: int, costs: Costs) -> float:
    """Prints each number of raters with its power, and what the last number takes; returns the last power."""
    raters = 0
    reached = 0.0
    for raters, reached in powers:
        say(f"{raters:4} raters x {trials} trials: found in {reached:.0%} of the studies")
    if raters:
        say(costs.in_words(raters))
    return reached


def status(
    study: Annotated[str, typer.Argument(help="A human study that runs.")],
    difference: MattersOption = 5.0,
    folder: FolderOption = None,
    answers: AnswersOption = "",
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Says which arms are told apart so far, and whether the study may stop. You may look as often as you like.

    The verdicts are those of `ratings tables`. Before the planned number of raters their intervals hold at all looks at once.

    Example: colourbench ratings status demo --difference 5
    """
    from analysis.people.planning import stopping
    from studies.people.study import RatingStudy

    opened = RatingStudy(folder or open_home(home).ratings(study))
    from studies.people.collection import tidy
    from studies.people.results import plan_of

    test = opened.key.design.test
    given = tidy(opened, store_of(opened, answers))
    if test == "preference":
        raise ColourbenchError(
            "status is for pair, single and opinion tests; use `ratings tables` once, at the planned end"
        )
    scale = points(test)
    looks = stopping.standings(given, test, difference / scale, plan_of(opened))
    say(_counts(given, test, opened.key.design.raters))
    for look in looks:
        say(
            f"{look.first} - {look.second}: {look.difference * scale:+.2f} [{look.low * scale:+.2f}, {look.high * scale:+.2f}]: "
            f"{look.state}"
        )
    if not looks:
        say(
            f"too early: a decision needs {stopping.FEWEST_RATERS} raters at least, who saw each arm on several photographs"
        )
    elif stopping.is_settled(looks):
        say("every pair is settled: the study may stop")


def _counts(answers: "pd.DataFrame", test: "TestName", planned: int) -> str:
    """How many raters and answers there are, and how many of them count."""
    from analysis.people import rates

    everybody = answers["rater"].nunique()
    counted = rates.kept(answers, test)["rater"].nunique()
    of_planned = f" of {planned} planned" if planned else ""
    left_out = f", {everybody - counted} left out by the rules" if counted < everybody else ""
    return f"{counted} raters{of_planned}{left_out}; {len(answers)} answers"


def _answers(home: Path, study: str) -> Any:
    """The answers of a human study of this home."""
    import pandas as pd

    path = open_home(home).ratings(study) / "responses.csv"
    if not path.exists():
        raise ColourbenchError(
            f"{study} has no answers yet, at {path}; see `colourbench ratings tables --help`"
        )
    return pd.read_csv(path, keep_default_na=True)
