"""A study's answer in one sentence, from the verdicts on its pairs."""

from collections.abc import Mapping, Sequence

from analysis.results import Results
from analysis.verdicts.verdict import Answer
from common.colour.metrics import METRICS


def ranked(results: Results) -> list[str]:
    """The arms without the baselines, best mean of the primary metric first."""
    primary = results.settings["primary"]
    means = results.table.groupby("arm")[primary].mean()
    arms = [arm for arm in results.arms if arm not in results.settings["baselines"]]
    return sorted(arms, key=lambda arm: -METRICS[primary].direction * float(means[arm]))


def conclusion(arms: Sequence[str], answers: Sequence[Answer]) -> str:
    """Says how the other arms stand against the one with the best mean, with the pairs' own verdicts; empty for a single arm.

    Args:
        arms: those that were trained or came from elsewhere, best mean first.
    """
    if len(arms) < 2:
        return ""
    best = arms[0]
    standing = {arm: _against(best, arm, answers) for arm in arms[1:]}
    parts = [
        _tied(best, standing),
        _worse(best, standing),
        _unsettled(best, standing),
        _above_grey(arms, answers),
    ]
    return "; ".join(part for part in parts if part)


def _against(best: str, arm: str, answers: Sequence[Answer]) -> str:
    """What the pair's verdict says of `best`: an outcome, or `worse` in the rare case that the lower mean is the better method."""
    for answer in answers:
        if {answer.first, answer.second} == {best, arm}:
            return "worse" if answer.better == arm else answer.outcome
    return "not settled"


def _tied(best: str, standing: Mapping[str, str]) -> str:
    alike = [arm for arm, outcome in standing.items() if outcome == "equivalent"]
    slight = [arm for arm, outcome in standing.items() if outcome == "slightly better"]
    parts = []
    if alike:
        parts.append(f"{listed([best, *alike])} are equivalent")
    if slight:
        parts.append(f"{best} is better than {listed(slight)}, by less than matters")
    return "; ".join(parts)


def _worse(best: str, standing: Mapping[str, str]) -> str:
    beaten = [arm for arm, outcome in standing.items() if outcome == "better"]
    return f"{best} is better than {listed(beaten)}" if beaten else ""


def _unsettled(best: str, standing: Mapping[str, str]) -> str:
    unsettled = [arm for arm, outcome in standing.items() if outcome in ("not settled", "worse")]
    return f"{best} against {listed(unsettled, 'or')} is not settled" if unsettled else ""


def _above_grey(arms: Sequence[str], answers: Sequence[Answer]) -> str:
    """Which arms are better than no colour at all; a remark of the verdict says it where none is."""
    better = [answer.better for answer in answers if "grey" in (answer.first, answer.second)]
    above = [arm for arm in arms if arm in better]
    return f"better than grey {'is' if len(above) == 1 else 'are'} {listed(above)}" if above else ""


def listed(names: Sequence[str], word: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"
