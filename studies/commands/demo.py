"""The verb `demo`: runs the whole suite in miniature."""

from studies.commands.options import DEFAULT_HOME, HomeOption, open_home, say


def demo(home: HomeOption = DEFAULT_HOME) -> None:
    """Runs the whole suite in miniature: prepare, sweep, compare, report, rating sheets. Takes minutes on two CPU cores.

    Example: colourbench demo --home /tmp/try
    """
    from common.files.names import DATABASE, KEY
    from studies.demonstration import NAME, VARIANTS, run_demo

    outcome = run_demo(open_home(home), say, lambda text: say(f"\n{text}"))
    say("\nWhere everything lies:")
    say(f"  data set       {outcome.dataset.folder}")
    say(
        f"  sweeps         {open_home(home).sweeps_file}   best validation ΔE: "
        + ", ".join(f"{k} {v:.2f}" for k, v in outcome.sweeps.items())
    )
    say(f"  runs           {open_home(home).store.home / DATABASE} and {open_home(home).store.home / 'artifacts'}")
    say(f"  report         {outcome.report}")
    say(f"  rating sheets  {outcome.sheets}   (a folder for each rater; {KEY}, beside them, is yours alone)")
    say("\nLook at it:")
    say(f"  colourbench ui --home {home}")
    say(f"  colourbench sweeps {NAME}-{VARIANTS[0]} --home {home}")
