"""The answer to a study's question, in words, from the tests of its primary metric."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import pandas as pd

from analysis.results import Results
from analysis.statistics import differences
from analysis.statistics.crossed import LEVEL, Estimate
from common.colour.metrics import METRICS, Metric

Outcome = Literal["better", "slightly better", "equivalent", "not settled"]
"""`better`: significant after Holm, and the estimate is the margin or more. `slightly better`: significant, and the estimate is
below the margin. `equivalent`: not significant, and within the margin by two one-sided tests after Holm."""

MOST_SEEDS_SAID = 30  # a pilot does not tell larger numbers apart
FEW_SEEDS = 2


@dataclass(frozen=True)
class Answer:
    """What is known of one pair of arms.

    `low` and `high` bound the interval that agrees with the outcome: at Holm's level, and for `equivalent` that of the two
    one-sided tests, which is a 90 % interval before Holm's correction.
    """

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
    left_out: int  # photographs without a value of some run
    is_asked: bool  # neither arm is a baseline, which is only a reference
    # a range: for the margin, with 80 % power; None if not asked, or if no number does
    seeds_needed: tuple[int, int] | None
    # training time on this machine for the missing seeds, at the middle of the range
    hours_needed: float | None
    text: str


@dataclass(frozen=True)
class Verdict:
    """The answers of a study, the pairs without a baseline first."""

    study: str
    question: str
    primary: str
    margin: float
    declared_at: str
    finished_before: int  # runs that were finished when it was declared
    answers: list[Answer]
    remarks: list[str]

    @property
    def fixed(self) -> str:
        """When metric and margin were fixed; empty if that is not known."""
        if not self.declared_at:
            return ""
        day = self.declared_at[:10]
        if not self.finished_before:
            return f"fixed on {day}, before the first run"
        return f"fixed on {day}, when {self.finished_before} runs were finished already"

    @property
    def lines(self) -> list[str]:
        """What to read first: the pairs without a baseline, then the remarks."""
        return [answer.text for answer in self.answers if answer.is_asked] + self.remarks

    def record(self) -> dict[str, Any]:
        """The verdict as plain data, with NaN as null."""
        return _plain(asdict(self))  # type: ignore[no-any-return]


def verdict(results: Results, pairs: pd.DataFrame) -> Verdict:
    """Gives the verdict from the pairs of the primary metric, as `differences.differences` returns them."""
    primary = results.settings["primary"]
    margin = float(results.settings["margin"])
    rows = pairs[pairs["metric"] == primary].to_dict("records")
    estimates = [differences.estimate_of(row) for row in rows]
    p_equivalent = [estimate.p_equivalent(margin) for estimate in estimates]
    corrected = zip(
        rows,
        estimates,
        differences.holm(p_equivalent),
        differences.holm_levels(p_equivalent),
        strict=True,
    )
    judged = [_Judged(row, estimate, p, own_level) for row, estimate, p, own_level in corrected]
    level = LEVEL / max(1, len(rows))  # Holm's first step
    answers = [_answer(pair, results, margin, level) for pair in judged]
    ordered = sorted(answers, key=lambda answer: not answer.is_asked)
    declared = results.settings.get("declared_at", "")
    question = results.settings["question"]
    return Verdict(
        study=results.name,
        question=question,
        primary=primary,
        margin=margin,
        declared_at=declared,
        finished_before=results.finished_before,
        answers=ordered,
        remarks=_remarks(results, ordered),
    )


@dataclass(frozen=True)
class _Judged:
    """A row of the table of pairs, its estimate, and its test of equivalence after Holm's correction."""

    row: Mapping[Any, Any]
    estimate: Estimate
    p_equivalent: float
    equivalence_level: float

    @property
    def is_significant(self) -> bool:
        return bool(self.row["p_holm"] < LEVEL)

    def outcome(self, margin: float) -> Outcome:
        """The first that applies; see `Outcome`."""
        if self.is_significant:
            return "better" if abs(self.estimate.value) >= margin else "slightly better"
        return "equivalent" if self.p_equivalent < LEVEL else "not settled"

    def interval(self, outcome: Outcome) -> tuple[float, float]:
        """The interval that agrees with the outcome: it leaves out 0, lies within the margin, or does neither."""
        if outcome == "equivalent":
            return self.estimate.interval(2 * self.equivalence_level)
        return float(self.row["low_holm"]), float(self.row["high_holm"])


def _answer(pair: _Judged, results: Results, margin: float, level: float) -> Answer:
    row = pair.row
    first = row["first"]
    second = row["second"]
    direction = METRICS[results.settings["primary"]].direction
    outcome = pair.outcome(margin)
    low, high = pair.interval(outcome)
    is_open = outcome == "not settled" and math.isfinite(low)
    needed = _seeds_needed(row, results, margin, level) if is_open else None
    seeds = (int(row["seeds_first"]), int(row["seeds_second"]))
    answer = Answer(
        first=first,
        second=second,
        outcome=outcome,
        better=(first if row["estimate"] * direction > 0 else second)
        if pair.is_significant
        else "",
        estimate=row["estimate"],
        low=low,
        high=high,
        p_holm=row["p_holm"],
        p_equivalent_holm=pair.p_equivalent,
        seeds=seeds,
        photographs=int(row["photographs"]),
        left_out=int(row["left_out"]),
        is_asked=not {first, second} & set(results.baselines),
        seeds_needed=needed,
        hours_needed=_hours(results, (first, second), seeds, needed),
        text="",
    )
    return replace(answer, text=_text(answer, METRICS[results.settings["primary"]], margin))


def _text(answer: Answer, metric: Metric, margin: float) -> str:
    sentence = {
        "better": _better,
        "slightly better": _better,
        "equivalent": _equivalent,
        "not settled": _not_settled,
    }[answer.outcome](answer, metric, margin)
    return f"{sentence} {_basis(answer)}"


def _better(answer: Answer, metric: Metric, margin: float) -> str:
    worse = answer.second if answer.better == answer.first else answer.first
    nearer, farther = sorted((abs(answer.low), abs(answer.high)))
    size = f"{_amount(abs(answer.estimate), metric)} [{nearer:.2g}, {farther:.2g}]"
    less = (
        f", but by less than the {margin:g} that matters"
        if answer.outcome == "slightly better"
        else ""
    )
    noisy = (
        "; with 2 seeds of a noisy arm such a difference arises by chance in up to 11 % of studies"
        if _has_few(answer)
        else ""
    )
    return f"{answer.better} is better than {worse}{less}: by {size}{noisy}"


def _equivalent(answer: Answer, metric: Metric, margin: float) -> str:
    interval = f"{answer.estimate:+.2g} [{answer.low:+.2g}, {answer.high:+.2g}]"
    return f"{answer.first} and {answer.second} are equivalent within {_amount(margin, metric)}: {interval}"


def _not_settled(answer: Answer, metric: Metric, margin: float) -> str:
    pair = f"{answer.first} against {answer.second}: not settled"
    if not math.isfinite(answer.low):
        return f"{pair}, one seed or one photograph says nothing about a method"
    half = (answer.high - answer.low) / 2
    return f"{pair}, {answer.estimate:+.2g} ± {_amount(half, metric)}; {_what_would_do(answer, margin)}"


def _what_would_do(answer: Answer, margin: float) -> str:
    """How many seeds would find the margin; from few seeds that is a range."""
    if answer.seeds_needed is None:
        return f"with {answer.photographs} photographs no number of seeds finds a difference of {margin:g}"
    have = min(seeds for seeds in answer.seeds if seeds)
    if answer.seeds_needed[1] <= have:
        return f"a difference of {margin:g} would have been found with 80 % power"
    cost = f", {answer.hours_needed:.1f} h more here" if answer.hours_needed else ""
    return (
        f"{seeds_in_words(answer.seeds_needed)} seeds would find {margin:g} with 80 % power{cost}"
    )


def seeds_in_words(needed: tuple[int, int]) -> str:
    """A range of seeds as far as a pilot tells it: "4", "4 to 9", "12 to more than 30", "more than 30"."""
    low, high = needed
    if low > MOST_SEEDS_SAID:
        return f"more than {MOST_SEEDS_SAID}"
    upper = f"{high}" if high <= MOST_SEEDS_SAID else f"more than {MOST_SEEDS_SAID}"
    return f"{low}" if low == high else f"{low} to {upper}"


def _basis(answer: Answer) -> str:
    numbers = sorted({count for count in answer.seeds if count})
    counts = (
        f"{' and '.join(map(str, numbers))} seed{'s' if max(numbers) > 1 else ''}, "
        if numbers
        else ""
    )
    left_out = f", {answer.left_out} left out for a missing value" if answer.left_out else ""
    return f"({counts}{answer.photographs} photographs{left_out})"


def _amount(value: float, metric: Metric) -> str:
    """A number with its unit: "2 dB" for a decibel, and the metric's title where it has no unit."""
    return f"{value:.2g} {metric.unit or metric.title}"


def _has_few(answer: Answer) -> bool:
    return any(0 < seeds <= FEW_SEEDS for seeds in answer.seeds)


def _seeds_needed(
    row: Mapping[Any, Any], results: Results, margin: float, level: float
) -> tuple[int, int] | None:
    """The range of seeds that find the margin, from an 80 % interval of the variance of seeds; None if no number does."""
    parts = results.scores(row["metric"]).components(row["first"], row["second"])
    degrees = sum(max(0, int(row[name]) - 1) for name in ("seeds_first", "seeds_second"))
    return parts.seeds_range(margin, int(row["photographs"]), degrees, level)


def _hours(
    results: Results, arms: tuple[str, str], seeds: tuple[int, int], needed: tuple[int, int] | None
) -> float | None:
    """Hours of training for the missing seeds, from the mean training time of a run of each arm."""
    if needed is None or needed[0] > MOST_SEEDS_SAID:
        return None
    middle = round(math.sqrt(needed[0] * min(needed[1], MOST_SEEDS_SAID)))
    missing = [max(0, middle - have) if have else 0 for have in seeds]
    return sum(n * results.seconds_a_seed(arm) for arm, n in zip(arms, missing, strict=True)) / 3600


def _remarks(results: Results, answers: list[Answer]) -> list[str]:
    """Remarks that readers must know before anything else: whether a trained arm beats grey."""
    against = [
        answer
        for answer in answers
        if "grey" in (answer.first, answer.second) and any(answer.seeds)
    ]
    if not against or any(answer.better not in ("", "grey") for answer in against):
        return []
    metric = METRICS[results.settings["primary"]]
    is_excluded = all(_largest_gain_over_grey(answer, metric.direction) <= 0 for answer in against)
    shown = "" if is_excluded else "shown to be "
    return [f"No trained arm is {shown}better than grey (ab = 0) in {metric.title}"]


def _largest_gain_over_grey(answer: Answer, direction: int) -> float:
    """The end of the interval that favours the trained arm; infinite where nothing is known."""
    sign = direction if answer.second == "grey" else -direction
    ends = [sign * answer.low, sign * answer.high]
    return max(ends) if all(map(math.isfinite, ends)) else math.inf


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
