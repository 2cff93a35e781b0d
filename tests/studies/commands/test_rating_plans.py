"""What `ratings plan` says of time and money."""

import pytest
from typer.testing import CliRunner

from analysis.people.planning.power import ENOUGH
from colourbench import app
from studies.commands.rating_plans import Costs


@pytest.mark.parametrize(
    ("raters", "rejected", "invited"), [(9, 0.1, 10), (10, 0.0, 10), (10, 0.1, 12), (12, 0.25, 16)]
)
def test_enough_are_invited_that_enough_are_kept(
    raters: int, rejected: float, invited: int
) -> None:
    costs = Costs(minutes=6, rejected=rejected, pay=None)
    assert costs.invited(raters) == invited
    assert invited * (1 - rejected) >= raters - 1e-9


def test_time_and_money_are_those_of_all_who_are_invited() -> None:
    words = Costs(minutes=6, rejected=0.1, pay=12.0).in_words(9)
    assert words == (
        "for 9 raters who count, invite 10 (10% rejected): 6 minutes each, 1.0 hours in all, 12 at 12 an hour"
    )
    assert "an hour" not in Costs(minutes=6, rejected=0.1, pay=None).in_words(9)


def test_a_plan_ends_with_what_it_takes() -> None:
    words = ["ratings", "plan", "--difference", "30", "--arms", "2", "--seeds", "3"]
    shown = CliRunner().invoke(app, [*words, "--studies", "20", "--pay", "10"])
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    reached = float(lines[-2].split("found in ")[1].split("%")[0]) / 100
    assert reached >= ENOUGH
    raters = int(lines[-2].split()[0])
    assert f"for {raters} raters who count" in lines[-1] and "at 10 an hour" in lines[-1]
