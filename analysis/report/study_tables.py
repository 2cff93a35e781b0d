"""The tables of a study: in full precision, and formatted for readers."""

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.evaluation.splits import DIVERSITY
from analysis.metrics.distances import over_seeds
from analysis.metrics.perceptual import LPIPS, SET_METRICS
from analysis.results import Results
from analysis.statistics import differences
from analysis.statistics.crossed import LEVEL
from analysis.tables import p_value, percent, with_half, with_limits
from analysis.verdicts.verdict import Answer, Verdict
from common.colour.metrics import HEADLINE, METRICS
from common.tracking.names import TUNING

DISTANCES = ("frechet", "kernel")  # between sets of photographs
MEAN_DIFFERENCE = "|Δ mean CF|"
# only photographs are random: a statement about the trained networks, not their methods
THESE_RUNS = "these runs only"


def headline(results: Results, pairs: pd.DataFrame) -> pd.DataFrame:
    """One row per arm: mean and 95 % interval of every metric; `best` marks an arm significantly better than all others."""
    by_arm = dict(iter(results.table.groupby("arm")))
    frame = pd.DataFrame([_headline_row(results, arm, by_arm[arm]) for arm in results.arms])
    trained = ~frame["arm"].isin(results.settings["baselines"])
    for metric in HEADLINE:
        means = dict(zip(frame["arm"][trained], frame[metric][trained], strict=True))
        compared = pairs[pairs["metric"] == metric]
        best = differences.clearly_best(compared, means, METRICS[metric].direction)
        frame[f"{metric}_best"] = frame["arm"] == best
    return frame


def _headline_row(results: Results, arm: str, table: pd.DataFrame) -> dict[str, object]:
    row: dict[str, object] = {
        "arm": arm,
        "seeds": results.scores(HEADLINE[0]).seeds(arm),
        "images": table["image"].nunique(),
    }
    for metric in HEADLINE:
        interval = differences.interval(results.scores(metric), arm)
        row[metric] = interval.estimate
        row[f"{metric}_low"] = interval.low
        row[f"{metric}_high"] = interval.high
    # from identical photographs; the means leave them out
    row["infinite_psnr"] = int(np.isinf(table["psnr_rgb"]).sum())
    row["mean_colourfulness_difference"] = _difference_of_means(table)
    return row


def _difference_of_means(table: pd.DataFrame) -> float:
    """|Δ mean CF|, with photographs as units like the mean of |ΔCF|, which is never smaller."""
    by_photograph = table.groupby(["seed", "photograph"])[
        ["colourfulness", "colourfulness_truth"]
    ].mean()
    coloured, true = by_photograph.mean()
    return float(abs(coloured - true))


def further(results: Results) -> pd.DataFrame:
    """One row per arm: LPIPS and distances between sets if they were measured, colour bleeding and chroma."""
    sets = results.sets
    rows = []
    for arm in results.arms:
        row: dict[str, object] = {"arm": arm}
        for metric in (LPIPS, "bleeding", "chroma"):
            interval = differences.interval(results.scores(metric), arm)
            row |= {
                metric: interval.estimate,
                f"{metric}_low": interval.low,
                f"{metric}_high": interval.high,
            }
        rows.append(row | _of_sets(sets[sets["arm"] == arm]))
    return pd.DataFrame(rows)


def _of_sets(sets: pd.DataFrame) -> dict[str, float]:
    """The distances between sets over an arm's seeds, each with half of its interval; NaN for what was not measured."""
    row: dict[str, float] = {"n": float(sets["n"].iloc[0]) if len(sets) else math.nan}
    for network in SET_METRICS:
        own = sets[sets["network"] == network]
        for distance in DISTANCES:
            name = f"{distance}_{network}"
            values = own[distance].tolist()
            errors = own[f"{distance}_error"].tolist()
            row[name], row[f"{name}_half"] = (
                over_seeds(values, errors) if values else (math.nan, math.nan)
            )
    return row


def bleeding_of_the_truth(results: Results) -> float:
    """The mean colour bleeding of the true photographs; NaN for runs of an older version."""
    return (
        float(results.table["bleeding_truth"].mean())
        if "bleeding_truth" in results.table
        else math.nan
    )


def not_finite(results: Results) -> pd.DataFrame:
    """One row per arm and metric with infinite or NaN values; empty if there are none."""
    rows = []
    for metric in [name for name in METRICS if results.table[name].notna().any()]:
        for arm, values in results.table.groupby("arm", sort=False)[metric]:
            infinite = int(np.isinf(values).sum())
            nan = int(values.isna().sum())
            if infinite or nan:
                rows.append(
                    {
                        "metric": metric,
                        "arm": arm,
                        "figures": len(values),
                        "infinite": infinite,
                        "not_a_number": nan,
                    }
                )
    return pd.DataFrame(rows)


def pairwise(results: Results) -> pd.DataFrame:
    """Compares every pair of arms in every metric that has a direction."""
    wanted = [
        metric
        for metric in (*HEADLINE, LPIPS)
        if METRICS[metric].direction and results.table[metric].notna().any()
    ]
    frames = []
    for metric in wanted:
        scores = results.scores(metric)
        frame = differences.all_pairs(scores)
        arms = zip(frame["first"], frame["second"], strict=True)
        won = [scores.seeds_won(*pair, METRICS[metric].direction) for pair in arms]
        frames.append(frame.assign(seeds_won=won))
    return pd.concat(frames, ignore_index=True)


def diversity(results: Results) -> pd.DataFrame:
    """One row per colouriser with noise: the mean difference between its versions of one photograph; empty if there is none."""
    if DIVERSITY not in results.table:
        return pd.DataFrame()
    noisy = [
        arm
        for arm in results.arms
        if (results.table.loc[results.table["arm"] == arm, DIVERSITY] > 0).any()
    ]
    rows = []
    for arm in noisy:
        interval = differences.interval(results.scores(DIVERSITY), arm)
        rows.append(
            {"arm": arm, DIVERSITY: interval.estimate, "low": interval.low, "high": interval.high}
        )
    return pd.DataFrame(rows)


def readable_diversity(frame: pd.DataFrame) -> pd.DataFrame:
    """The diversity table formatted for readers."""
    figures = [
        f"{row[DIVERSITY]:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        for row in frame.to_dict("records")
    ]
    return pd.DataFrame(
        {"arm": frame["arm"], "mean ΔE*₇₆ between two versions [95 % interval]": figures}
    )


def readable_itself(frame: pd.DataFrame) -> pd.DataFrame:
    """The A/A table formatted for readers."""
    return pd.DataFrame(
        {
            "method": frame["method"],
            "metric": [METRICS[name].label for name in frame["metric"]],
            "splits of its seeds": frame["splits"],
            "called different": frame["called"],
            "by photographs alone": frame["called_as_runs"],
        }
    )


def cost(results: Results) -> pd.DataFrame:
    """The cost of each arm: means over its seeds of images, updates, seconds, images per second and peak memory."""
    rows = []
    for arm in results.arms:
        runs = [run for run in results.trained if run.tags["arm"] == arm]
        if not runs:
            continue
        row = {name: sum(run.metrics.get(name, 0.0) for run in runs) / len(runs) for name in COST}
        row["images_per_second"] = row["images"] / max(row["seconds"], 1e-9)
        tuning = results.settings.get(TUNING, {}).get(arm, {})
        for name in ("trials", "images", "hours"):
            row[f"tuning_{name}"] = float(tuning.get(name, 0))
        rows.append({"arm": arm, **row})
    return pd.DataFrame(rows)


COST = (
    "images",
    "updates",
    "critic_updates",
    "seconds",
    "peak_memory_gb",
    "generator_parameters",
    "generator_gflops",
)


def readable_headline(frame: pd.DataFrame) -> pd.DataFrame:
    """The headline table formatted for readers: `mean ± half interval`, in bold where significantly best."""
    columns: dict[str, list[str]] = {
        "arm": frame["arm"].tolist(),
        "seeds": [str(n or "–") for n in frame["seeds"]],
    }
    for metric in HEADLINE:
        columns[METRICS[metric].arrow] = [_cell(row, metric) for row in frame.to_dict("records")]
    columns[MEAN_DIFFERENCE] = [f"{value:.2f}" for value in frame["mean_colourfulness_difference"]]
    return pd.DataFrame(columns)


def readable_further(frame: pd.DataFrame) -> pd.DataFrame:
    """The `further` table formatted for readers, without the columns that hold nothing; a dash marks what was not measured."""
    rows = frame.to_dict("records")
    columns: dict[str, Any] = {"arm": frame["arm"]}
    if frame[LPIPS].notna().any():
        columns[METRICS[LPIPS].arrow] = [_with_interval(row, LPIPS, 3) for row in rows]
    for network, names in SET_METRICS.items():
        if frame[f"frechet_{network}"].notna().any():
            columns[f"{names.frechet} ↓"] = [
                _of_set(row, f"frechet_{network}", factor=1, digits=2) for row in rows
            ]
            columns[f"{names.kernel} × 1000 ↓"] = [
                _of_set(row, f"kernel_{network}", factor=1000, digits=2) for row in rows
            ]
    if frame["n"].notna().any():
        columns["n of these sets"] = [with_half(row["n"], math.nan, digits=0) for row in rows]
    columns[METRICS["bleeding"].label] = [_with_interval(row, "bleeding", 3) for row in rows]
    columns[METRICS["chroma"].label] = [_with_interval(row, "chroma", 2) for row in rows]
    return pd.DataFrame(columns)


def _of_set(row: Mapping[Any, Any], name: str, factor: float, digits: int) -> str:
    return with_half(factor * row[name], factor * row[f"{name}_half"], digits)


def readable_not_finite(frame: pd.DataFrame) -> pd.DataFrame:
    """The table of infinite and NaN values formatted for readers."""
    shown = frame.assign(metric=[METRICS[name].label for name in frame["metric"]])
    return shown.rename(columns={"not_a_number": "not a number"})


def readable_pairs(frame: pd.DataFrame, answer: Verdict | None = None) -> pd.DataFrame:
    """The pairwise table formatted for readers; with the verdict, the primary metric has its outcomes."""
    rows = frame.to_dict("records")
    outcomes = (
        {(answer.primary, one.first, one.second): one for one in answer.answers} if answer else {}
    )
    table = pd.DataFrame(
        {
            "metric": [METRICS[name].label for name in frame["metric"]],
            "first − second": frame["first"] + " − " + frame["second"],
            "difference of the methods [interval after Holm]": [
                _of_pair(r, outcomes.get(_key(r))) for r in rows
            ],
            "p (Holm)": [p_value(r["p_holm"]) for r in rows],
            "seeds": [f"{r['seeds_first'] or '–'}, {r['seeds_second'] or '–'}" for r in rows],
            "verdict": [_verdict(r, outcomes.get(_key(r))) for r in rows],
            THESE_RUNS: [
                f"[{r['runs_low']:+.3g}, {r['runs_high']:+.3g}], p {p_value(r['runs_p_holm'])}"
                for r in rows
            ],
        }
    )
    if "seeds_won" in frame:
        table.insert(5, "a seed of the first wins", frame["seeds_won"].map(percent))
    return table


def readable_cost(frame: pd.DataFrame) -> pd.DataFrame:
    """The cost table formatted for readers."""
    return pd.DataFrame(
        {
            "arm": frame["arm"],
            "images": [f"{n:,.0f}" for n in frame["images"]],
            "generator updates": [f"{n:,.0f}" for n in frame["updates"]],
            "critic updates": [f"{n:,.0f}" for n in frame["critic_updates"]],
            "seconds": [f"{n:,.1f}" for n in frame["seconds"]],
            "images/s": [f"{n:,.1f}" for n in frame["images_per_second"]],
            "peak memory, GB": [f"{n:.2f}" for n in frame["peak_memory_gb"]],
            "generator parameters": [f"{n:,.0f}" for n in frame["generator_parameters"]],
            "GFLOP": [f"{n:.3g}" if n else "–" for n in frame["generator_gflops"]],
            "tuning": [_tuning(row) for row in frame.to_dict("records")],
        }
    )


def _tuning(row: Mapping[Any, Any]) -> str:
    if not row["tuning_trials"]:
        return "–"
    return f"{row['tuning_trials']:.0f} trials, {row['tuning_images']:,.0f} images, {row['tuning_hours']:.1f} h"


def _cell(row: dict[Hashable, Any], metric: str) -> str:
    text = _with_interval(row, metric, METRICS[metric].digits)
    return f"**{text}**" if row[f"{metric}_best"] else text


def _with_interval(row: dict[Hashable, Any], metric: str, digits: int) -> str:
    return with_half(row[metric], (row[f"{metric}_high"] - row[f"{metric}_low"]) / 2, digits)


def _key(row: Mapping[Any, Any]) -> tuple[str, str, str]:
    return str(row["metric"]), str(row["first"]), str(row["second"])


def _of_pair(row: Mapping[Any, Any], answer: Answer | None) -> str:
    if answer is not None:
        return with_limits(row["estimate"], answer.low, answer.high)
    return with_limits(
        row["estimate"], row.get("low_holm", row["low"]), row.get("high_holm", row["high"])
    )


def _verdict(row: Mapping[Any, Any], answer: Answer | None) -> str:
    """The outcome for the methods, in words; only the primary metric has a margin, and so four outcomes."""
    if not math.isfinite(row["low"]):
        few = "one seed says nothing about a method"
        return f"not settled: {few if row['photographs'] > 1 else 'too few photographs'}"
    if answer is not None and answer.outcome == "equivalent":
        return "equivalent"
    if row["p_holm"] < LEVEL:
        better = (row["estimate"] > 0) == (METRICS[str(row["metric"])].direction > 0)
        is_slight = answer is not None and answer.outcome == "slightly better"
        less = ", by less than matters" if is_slight else ""
        return f"{row['first'] if better else row['second']} is better{less}"
    return f"not settled; {row['detectable']:.2g} or more would be found"
