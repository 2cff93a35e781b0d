"""The answer to a study's question, in words, from the tests of its primary metric."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd

from analysis.results import Results
from analysis.statistics import differences
from analysis.statistics.crossed import LEVEL, Estimate
from common.colour.metrics import METRICS

Outcome = Literal["better", "equivalent", "not settled"]


@dataclass(frozen=True)
class Answer:
    """What is known of one pair of arms."""

    first: str
    second: str
    outcome: Outcome
    better: str  # the better arm; empty if neither is
    estimate: float
    low: float
    high: float
    p_holm: float
    p_equivalent_holm: float
    seeds: tuple[int, int]  # 0 for an arm without seeds, such as a baseline
    photographs: int
    is_asked: bool  # neither arm is a baseline, which is only a reference
    seeds_needed: int | None  # for a difference of the margin, with 80 % power; None if no number of seeds detects it
    hours_needed: float | None  # training time on this machine for the missing seeds
    text: str


@dataclass(frozen=True)
class Verdict:
    """The answers of a study, the pairs without a baseline first."""

    study: str
    question: str
    primary: str
    margin: float
    declared_at: str
    answers: list[Answer]
    remarks: list[str]

    @property
    def lines(self) -> list[str]:
        """What to read first: the pairs without a baseline, then the remarks."""
        return [answer.text for answer in self.answers if answer.is_asked] + self.remarks

    def record(self) -> dict[str, Any]:
        """The verdict as plain data, with NaN as null."""
        return _plain(asdict(self))  # type: ignore[no-any-return]


def verdict(results: Results, pairs: pd.DataFrame) -> Verdict:
    """Gives the verdict from the pairs of the primary metric, as `differences.differences` returns them."""
    primary, margin = results.settings["primary"], float(results.settings["margin"])
    primary_pairs = pairs[pairs["metric"] == primary].to_dict("records")
    equivalent = differences.holm([_estimate_of(row).p_equivalent(margin) for row in primary_pairs])
    level = LEVEL / max(1, len(primary_pairs))  # Holm's first step
    rows = [{str(name): value for name, value in row.items()} for row in primary_pairs]
    answers = [_answer(row, p, results, margin, level) for row, p in zip(rows, equivalent, strict=True)]
    ordered = sorted(answers, key=lambda answer: not answer.is_asked)
    declared = results.settings.get("declared_at", "")
    question = results.settings["question"]
    return Verdict(results.name, question, primary, margin, declared, ordered, _remarks(results, ordered))


def _estimate_of(row: dict[Any, Any]) -> Estimate:
    """Rebuilds the estimate behind a row of the pairs."""
    return Estimate(float(row["estimate"]), float(row["variance"]), float(row["df"]), (float("nan"),) * 3)


def _answer(row: dict[str, Any], p_equivalent: float, results: Results, margin: float, level: float) -> Answer:
    first, second, direction = row["first"], row["second"], METRICS[results.settings["primary"]].direction
    is_settled, is_equivalent = row["p_holm"] < LEVEL, p_equivalent < LEVEL
    better = (first if row["estimate"] * direction > 0 else second) if is_settled else ""
    outcome: Outcome = "better" if is_settled else "equivalent" if is_equivalent else "not settled"
    needed = _seeds_needed(row, results, margin, level) if outcome == "not settled" and math.isfinite(row["low"]) else None
    hours = _hours(results, (first, second), (row["seeds_first"], row["seeds_second"]), needed)
    text = _text(row, outcome, better, results.settings["primary"], margin, needed, hours)
    figures = (row["estimate"], row["low"], row["high"], row["p_holm"], p_equivalent)
    seeds = (int(row["seeds_first"]), int(row["seeds_second"]))
    is_asked = not {first, second} & set(results.baselines)
    return Answer(first, second, outcome, better, *figures, seeds, int(row["photographs"]), is_asked, needed, hours, text)


def _text(
    row: dict[str, Any], outcome: Outcome, better: str, primary: str, margin: float, needed: int | None, hours: float | None
) -> str:
    first, second, title = row["first"], row["second"], METRICS[primary].label
    numbers = sorted({int(n) for n in (row["seeds_first"], row["seeds_second"]) if n})
    counts = f"{' and '.join(map(str, numbers))} seed{'s' if max(numbers) > 1 else ''}, " if numbers else ""
    basis = f"({counts}{row['photographs']} photographs)"
    size, ends = abs(row["estimate"]), sorted((abs(row["low"]), abs(row["high"])))
    if outcome == "better":
        worse = second if better == first else first
        return f"{better} is better than {worse} by {size:.2g} {title} [{ends[0]:.2g}, {ends[1]:.2g}] {basis}"
    if outcome == "equivalent":
        interval = f"{row['estimate']:+.2g} [{row['low']:+.2g}, {row['high']:+.2g}]"
        return f"{first} and {second} are equivalent within {margin:g} {title}: {interval} {basis}"
    if not math.isfinite(row["low"]):
        return f"{first} against {second}: not settled, one seed or one photograph says nothing about a method {basis}"
    cost = f", {hours:.1f} h more here" if hours else ""
    enough = f"about {needed} seeds would see {margin:g}{cost}"
    seen = enough if needed else f"no number of seeds would see {margin:g}: photographs are too few"
    half = (row["high"] - row["low"]) / 2
    return f"{first} against {second}: not settled, {row['estimate']:+.2g} ± {half:.2g} {title}; {seen} {basis}"


def _seeds_needed(row: dict[str, Any], results: Results, margin: float, level: float) -> int | None:
    parts = results.scores(row["metric"]).components(row["first"], row["second"])
    return parts.seeds_for(margin, row["photographs"], level)


def _hours(results: Results, arms: tuple[str, str], seeds: tuple[int, int], needed: int | None) -> float | None:
    """Hours of training for the missing seeds, from the mean training time of a run of each arm."""
    if needed is None:
        return None
    missing = [max(0, needed - have) if have else 0 for have in seeds]
    return sum(n * results.seconds_a_seed(arm) for arm, n in zip(arms, missing, strict=True)) / 3600


def _remarks(results: Results, answers: list[Answer]) -> list[str]:
    """Remarks that readers must know before anything else: whether no trained arm beats grey."""
    against = [answer for answer in answers if "grey" in (answer.first, answer.second) and any(answer.seeds)]
    if against and not any(answer.better not in ("", "grey") for answer in against):
        title = METRICS[results.settings["primary"]].label
        return [f"No trained arm is better than grey (ab = 0) in {title}"]
    return []


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
