"""The tables of a study: in full precision, and formatted for readers."""

import math
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from analysis.evaluation import DIVERSITY
from analysis.metrics.perceptual import LPIPS, over_seeds
from analysis.results import Results
from analysis.statistics import differences
from analysis.statistics.crossed import LEVEL
from analysis.tables import with_half
from common.colour.metrics import HEADLINE, METRICS

MEAN_DIFFERENCE = "|Δ mean CF|"
THESE_RUNS = "these runs only"  # only photographs are random: a statement about the trained networks, not about their methods


def headline(results: Results, pairs: pd.DataFrame) -> pd.DataFrame:
    """One row per arm: mean and 95 % interval of every metric; `best` marks an arm significantly better than all others."""
    by_arm = dict(iter(results.table.groupby("arm")))
    rows = []
    for arm in results.arms:
        table = by_arm[arm]
        row: dict[str, object] = {"arm": arm, "seeds": results.scores(HEADLINE[0]).seeds(arm), "images": table["image"].nunique()}
        for metric in HEADLINE:
            interval = differences.interval(results.scores(metric), arm)
            row |= {metric: interval.estimate, f"{metric}_low": interval.low, f"{metric}_high": interval.high}
        row["infinite_psnr"] = int(np.isinf(table["psnr_rgb"]).sum())  # from identical photographs; the means leave them out
        row["mean_colourfulness_difference"] = abs(table["colourfulness"].mean() - table["colourfulness_truth"].mean())
        rows.append(row)
    frame = pd.DataFrame(rows)
    for metric in HEADLINE:
        baselines = results.settings["baselines"]
        means = {arm: mean for arm, mean in zip(frame["arm"], frame[metric], strict=True) if arm not in baselines}
        best = differences.clearly_best(pairs[pairs["metric"] == metric], means, METRICS[metric].direction)
        frame[f"{metric}_best"] = frame["arm"] == best
    return frame


def further(results: Results) -> pd.DataFrame:
    """One row per arm: LPIPS, FID and KID if they were measured, colour bleeding and chroma."""
    sets, rows = results.sets, []
    for arm in results.arms:
        row: dict[str, object] = {"arm": arm}
        for metric in (LPIPS, "bleeding", "chroma"):
            interval = differences.interval(results.scores(metric), arm)
            row |= {metric: interval.estimate, f"{metric}_low": interval.low, f"{metric}_high": interval.high}
        rows.append(row | _of_sets(sets[sets["arm"] == arm]))
    return pd.DataFrame(rows)


def _of_sets(sets: pd.DataFrame) -> dict[str, float]:
    """FID and KID over an arm's seeds; for a single seed, KID's interval is over photographs."""
    if sets.empty:
        return dict.fromkeys(("fid", "fid_half", "kid", "kid_half", "n"), math.nan)
    (fid, fid_half), (kid, kid_half) = (over_seeds(sets[name].tolist()) for name in ("fid", "kid"))
    if len(sets) == 1:
        kid_half = float((sets["kid_high"] - sets["kid_low"]).iloc[0]) / 2
    return {"fid": fid, "fid_half": fid_half, "kid": kid, "kid_half": kid_half, "n": float(sets["n"].iloc[0])}


def bleeding_of_the_truth(results: Results) -> float:
    """The mean colour bleeding of the true photographs; NaN for runs of an older version."""
    return float(results.table["bleeding_truth"].mean()) if "bleeding_truth" in results.table else math.nan


def not_finite(results: Results) -> pd.DataFrame:
    """One row per arm and metric with infinite or NaN values; empty if there are none."""
    rows = []
    for metric in [name for name in METRICS if results.table[name].notna().any()]:
        for arm, values in results.table.groupby("arm", sort=False)[metric]:
            infinite, nan = int(np.isinf(values).sum()), int(values.isna().sum())
            if infinite or nan:
                rows.append({"metric": metric, "arm": arm, "figures": len(values), "infinite": infinite, "not_a_number": nan})
    return pd.DataFrame(rows)


def pairwise(results: Results) -> pd.DataFrame:
    """Compares every pair of arms in every metric that has a direction."""
    wanted = [metric for metric in (*HEADLINE, LPIPS) if METRICS[metric].direction and results.table[metric].notna().any()]
    frames = [differences.all_pairs(results.scores(metric)) for metric in wanted]
    return pd.concat(frames, ignore_index=True)


def diversity(results: Results) -> pd.DataFrame:
    """One row per colouriser with noise: the mean difference between its versions of one photograph; empty if there is none."""
    if DIVERSITY not in results.table:
        return pd.DataFrame()
    noisy = [arm for arm in results.arms if (results.table.loc[results.table["arm"] == arm, DIVERSITY] > 0).any()]
    rows = []
    for arm in noisy:
        interval = differences.interval(results.scores(DIVERSITY), arm)
        rows.append({"arm": arm, DIVERSITY: interval.estimate, "low": interval.low, "high": interval.high})
    return pd.DataFrame(rows)


def readable_diversity(frame: pd.DataFrame) -> pd.DataFrame:
    """The diversity table formatted for readers."""
    figures = [f"{row[DIVERSITY]:.2f} [{row['low']:.2f}, {row['high']:.2f}]" for row in frame.to_dict("records")]
    return pd.DataFrame({"arm": frame["arm"], "mean ΔE*₇₆ between two versions [95 % interval]": figures})


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
        mean = {name: sum(run.metrics.get(name, 0.0) for run in runs) / len(runs) for name in COST}
        rows.append({"arm": arm, **mean, "images_per_second": mean["images"] / max(mean["seconds"], 1e-9)})
    return pd.DataFrame(rows)


COST = ("images", "updates", "critic_updates", "seconds", "peak_memory_gb", "generator_parameters", "generator_gflops")


def readable_headline(frame: pd.DataFrame) -> pd.DataFrame:
    """The headline table formatted for readers: `mean ± half interval`, in bold where significantly best."""
    columns: dict[str, list[str]] = {"arm": frame["arm"].tolist(), "seeds": [str(n or "–") for n in frame["seeds"]]}
    for metric in HEADLINE:
        columns[METRICS[metric].arrow] = [_cell(row, metric) for row in frame.to_dict("records")]
    columns[MEAN_DIFFERENCE] = [f"{value:.2f}" for value in frame["mean_colourfulness_difference"]]
    return pd.DataFrame(columns)


def readable_further(frame: pd.DataFrame) -> pd.DataFrame:
    """The `further` table formatted for readers; a dash marks what was not measured."""
    rows = frame.to_dict("records")
    n = [f"{row['n']:.0f}" if math.isfinite(row["n"]) else "–" for row in rows]
    return pd.DataFrame(
        {
            "arm": frame["arm"],
            METRICS[LPIPS].arrow: [_with_interval(row, LPIPS, 3) for row in rows],
            "FID ↓": [with_half(row["fid"], row["fid_half"], 1) for row in rows],
            "KID × 1000 ↓": [with_half(1000 * row["kid"], 1000 * row["kid_half"], 2) for row in rows],
            "n of FID and KID": n,
            METRICS["bleeding"].label: [_with_interval(row, "bleeding", 3) for row in rows],
            METRICS["chroma"].label: [_with_interval(row, "chroma", 2) for row in rows],
        }
    )


def readable_not_finite(frame: pd.DataFrame) -> pd.DataFrame:
    """The table of infinite and NaN values formatted for readers."""
    shown = frame.assign(metric=[METRICS[name].label for name in frame["metric"]])
    return shown.rename(columns={"not_a_number": "not a number"})


def readable_pairs(frame: pd.DataFrame) -> pd.DataFrame:
    """The pairwise table formatted for readers."""
    rows = frame.to_dict("records")
    return pd.DataFrame(
        {
            "metric": [METRICS[name].label for name in frame["metric"]],
            "first − second": frame["first"] + " − " + frame["second"],
            "difference of the methods [95 % interval]": [_interval(r["estimate"], r["low"], r["high"]) for r in rows],
            "p (Holm)": [_p(r["p_holm"]) for r in rows],
            "seeds": [f"{r['seeds_first'] or '–'}, {r['seeds_second'] or '–'}" for r in rows],
            "verdict": [_verdict(r) for r in rows],
            THESE_RUNS: [f"[{r['runs_low']:+.3g}, {r['runs_high']:+.3g}], p {_p(r['runs_p_holm'])}" for r in rows],
        }
    )


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
        }
    )


def _cell(row: dict[Hashable, Any], metric: str) -> str:
    half = (row[f"{metric}_high"] - row[f"{metric}_low"]) / 2
    digits = METRICS[metric].digits
    text = f"{row[metric]:.{digits}f}" + (f" ± {half:.{digits}f}" if math.isfinite(half) else "")
    return f"**{text}**" if row[f"{metric}_best"] else text


def _with_interval(row: dict[Hashable, Any], metric: str, digits: int) -> str:
    return with_half(row[metric], (row[f"{metric}_high"] - row[f"{metric}_low"]) / 2, digits)


def _verdict(row: dict[Hashable, Any]) -> str:
    """The outcome for the methods, in words."""
    if row["p_holm"] < LEVEL:
        better = (row["estimate"] > 0) == (METRICS[str(row["metric"])].direction > 0)
        return f"{row['first'] if better else row['second']} is better"
    if not math.isfinite(row["low"]):
        return "not settled: one seed says nothing about a method" if row["photographs"] > 1 else "not settled: too few photographs"
    return f"not settled; the design sees {row['detectable']:.2g} or more"


def _interval(estimate: float, low: float, high: float) -> str:
    return f"{estimate:+.3g} [{low:+.3g}, {high:+.3g}]" if math.isfinite(low) else f"{estimate:+.3g}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
