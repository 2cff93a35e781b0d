"""How a sweep stands: what ran, what runs and where."""

from datetime import datetime
from io import StringIO

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial
from rich.console import Console

from common.errors import ColourbenchError
from studies.sweeps.status import table


def shown(study: optuna.Study) -> list[str]:
    console = Console(width=120, record=True, file=StringIO())
    console.print(table(study))
    return console.export_text().splitlines()


def study() -> optuna.Study:
    made = optuna.create_study(study_name="s")
    for key, value in {
        "objectives": ["delta_e"],
        "base": {"budget": {"amount": 400}},
        "trials": 9,
    }.items():
        made.set_user_attr(key, value)
    x = FloatDistribution(0, 1)
    for number in range(6):
        limits = {"limits": {"seconds": 3.0}} if number == 0 else {}
        made.add_trial(
            create_trial(
                params={"x": 0.5},
                distributions={"x": x},
                value=20.0 - number,
                user_attrs={"run": number} | limits,
            )
        )
    pruned = {
        "params": {"x": 0.1},
        "distributions": {"x": x},
        "intermediate_values": {100: 31.5},
        "user_attrs": {"run": 6},
    }
    made.add_trial(create_trial(state=TrialState.PRUNED, **pruned))  # type: ignore[arg-type]
    running = made.ask()
    running.set_user_attr("owner", ["host", 4711, "1"])
    running.report(25.25, 200)
    return made


def test_what_ended_and_what_runs() -> None:
    lines = shown(study())
    assert "7 of 9 trials ended (1 of them pruned), 1 running; 0 failed or tried again" in lines[-1]
    pruned = next(line for line in lines if "pruned" in line)
    assert "006" in pruned and "25%" in pruned and "31.5" in pruned
    running = next(line for line in lines if "running" in line)
    assert "007" in running and "50%" in running and "25.25" in running and "host 4711" in running
    assert any("000" in line and "100%" in line and "beyond the limits" in line for line in lines)


def test_the_best_is_marked_and_stays_however_many_end_after_it() -> None:
    made = study()
    best = create_trial(params={}, distributions={}, value=0.5, user_attrs={"run": 40})
    best.datetime_start = best.datetime_complete = datetime(2029, 1, 1)
    made.add_trial(best)
    for number in range(12):
        ended = create_trial(
            params={}, distributions={}, value=1.0, user_attrs={"run": 50 + number}
        )
        ended.datetime_start = ended.datetime_complete = datetime(2030, 1, 1, 0, 0, number)
        made.add_trial(ended)
    assert (
        [line for line in shown(made) if "*" in line]
        == [line for line in shown(made) if "040" in line]
        != []
    )


def test_another_programs_study_is_refused() -> None:
    with pytest.raises(ColourbenchError, match="no sweep of colourbench"):
        table(optuna.create_study(study_name="theirs"))


def test_only_the_newest_ended_trials_are_shown() -> None:
    made = study()
    for number in range(20):
        ended = create_trial(
            params={}, distributions={}, value=1.0, user_attrs={"run": 50 + number}
        )
        ended.datetime_start = ended.datetime_complete = datetime(2030, 1, 1, 0, 0, number)
        made.add_trial(ended)
    text = "\n".join(shown(made))
    assert "069" in text and "062" in text and "061" not in text and "running" in text
