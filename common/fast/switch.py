"""The one switch of what makes the suite fast. Off, plain torch does the same, to rounding.

It belongs to the process, because layers and colour conversions are called from everywhere; an engine sets it.
"""

_is_on = True


def is_on() -> bool:
    """Whether the fast ways are taken."""
    return _is_on


def turn(on: bool) -> None:
    """Sets the switch for this process."""
    global _is_on
    _is_on = on
