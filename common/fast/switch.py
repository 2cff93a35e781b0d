"""The switch for the suite's fast implementations. When it is off, plain torch computes the same, up to rounding.

It is global to the process, because layers and colour conversions are called from everywhere; the engine sets it.
"""

_is_on = True


def is_on() -> bool:
    """Whether the fast implementations are used."""
    return _is_on


def turn(on: bool) -> None:
    """Sets the switch for this process."""
    global _is_on
    _is_on = on
