"""The verb `demo`: runs the whole suite in miniature."""

from pathlib import Path
from typing import TYPE_CHECKING

from studies.commands.options import DEFAULT_HOME, HomeOption, open_home, say

if TYPE_CHECKING:
    from studies.home import Home


def demo(home: HomeOption = DEFAULT_HOME) -> None:
    """Runs the whole suite in miniature: prepare, sweep, compare, report, rating sheets. Takes minutes on two CPU cores.

    Example: colourbench demo --home /tmp/try
    """
    from common.system.names import DATABASE, KEY
    from studies.commands.demonstration import NAME, VARIANTS, run_demo

    outcome = run_demo(open_home(home), say, lambda text: say(f"\n{text}"))
    say("\nlast: an old photograph, coloured by the model that comes with colourbench")
    coloured = _colour_old_photograph(open_home(home))
    say("\nWhere everything lies:")
    say(f"  data set       {outcome.dataset.folder}")
    say(
        f"  sweeps         {open_home(home).sweeps_file}   best validation ΔE: "
        + ", ".join(f"{k} {v:.2f}" for k, v in outcome.sweeps.items())
    )
    say(
        f"  runs           {open_home(home).store.home / DATABASE} and {open_home(home).store.home / 'artifacts'}"
    )
    say(f"  report         {outcome.report}")
    say(
        f"  rating sheets  {outcome.sheets}   (a folder for each rater; {KEY}, beside them, is yours alone)"
    )
    say(f"  old photograph {coloured}")
    say("\nLook at it:")
    say(f"  colourbench ui {NAME} --home {home}")
    say(f"  colourbench sweeps {NAME}-{VARIANTS[0]} --home {home}")


def _colour_old_photograph(home: "Home") -> Path:
    """Colours the photograph of about 1850 that lies beside the starter model; returns the result, beside its grey original."""
    from common.system.names import STARTER
    from studies.use import files
    from studies.use.models import OLD_PHOTOGRAPH, open_model
    from studies.use.prediction import Sight

    model = open_model(home, STARTER, "cpu")
    folder = home.path / "coloured"
    jobs = files.jobs_in([OLD_PHOTOGRAPH], folder)
    output = files.Output(folder, side_by_side=True, force=True)
    (outcome,) = files.colourise_photographs(model.colouriser, jobs, Sight(), output)
    return outcome.written[0]
