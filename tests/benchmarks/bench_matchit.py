"""The matching of `impact` beside that of the R package MatchIt, on the same units with the same rules.

    python tests/benchmarks/bench_matchit.py [--seeds 40] [--quick]

Both match on the Mahalanobis distance within a caliper of 0.2 of the propensity score, without replacement: MatchIt
greedily, `impact` with the least sum of distances. Balance and distance of both are measured alike. Two data sets: the
disturbed forest pixels of configs/landsat-disturbance ($SDM_RAY_DATA), and virtual landscapes of bench_impact.py as a
fitted model maps them, with a planted effect and with none; there the shares of intervals that hold the truth count.
Needs Rscript with MatchIt and sandwich (Debian: r-cran-matchit, r-cran-sandwich).
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from bench_impact import ESTIMATE, MATCHING, MEMBERS, SURVEYS, figure
from managed_landscapes import Landscape, Regression, Scenario, Surveys, unmixed

from sdm_ray.config import load
from sdm_ray.geo.blocks import Blocks, block_id
from sdm_ray.impact.balance import balance
from sdm_ray.impact.config import ImpactConfig
from sdm_ray.impact.covariates import read_covariates
from sdm_ray.impact.estimate import Estimator, baci, block_side
from sdm_ray.impact.matching import Matches, match, standardised
from sdm_ray.impact.outcomes import read_outcomes
from sdm_ray.impact.questions import Material, questions
from sdm_ray.impact.study import Study
from sdm_ray.impact.units import read_treatment, read_units
from sdm_ray.progress import say, track

SCENARIOS = {"effect": Scenario(0.5), "no treatment": Scenario()}
_R = Path(__file__).parent / "matchit.R"


def by_matchit(study: Study, ratio: int, block_m: float) -> tuple[dict[str, object], Matches]:
    """What MatchIt finds, and its sets."""
    units = pd.DataFrame(study.covariates, columns=[f"x{number}" for number in range(study.covariates.shape[1])])
    units["treated"], units["exact"] = study.treated.astype(int), study.exact
    units["change"] = study.changes()[0]
    units["block"] = block_id(study.x, study.y, Blocks(size_m=block_m))
    both = units.groupby("exact")["treated"].transform("nunique") == 2  # MatchIt stops at a group without controls
    number_of = np.flatnonzero(both)
    units = units[both]
    with tempfile.TemporaryDirectory() as folder:
        table, pairs = Path(folder) / "units.csv", Path(folder) / "pairs.csv"
        units.to_csv(table, index=False)
        ended = subprocess.run(["Rscript", str(_R), table, pairs, str(ratio)], capture_output=True, text=True)
        if ended.returncode:
            raise SystemExit(ended.stderr)
        found = json.loads(ended.stdout.strip().splitlines()[-1])
        sets = pd.read_csv(pairs).set_index("treated")
    treated = np.repeat(sets.index.to_numpy() - 1, sets.shape[1])  # R counts from 1
    control = sets.to_numpy().ravel() - 1
    known = np.isfinite(control)
    treated, control = number_of[treated[known]], number_of[control[known].astype(np.int64)]
    order = np.lexsort((control, treated))
    number = np.bincount(treated, minlength=len(study.ids))
    unmatched = np.setdiff1d(np.flatnonzero(study.treated), treated)
    return found, Matches(
        treated[order], control[order], 1 / number[treated[order]], unmatched, np.zeros(len(study.ids))
    )


def described(study: Study, matches: Matches) -> tuple[int, float, float]:
    """Matched units, worst standardised mean difference, mean Mahalanobis distance of a pair."""
    x = standardised(study.covariates)
    inverse = np.linalg.pinv(np.cov(x, rowvar=False))
    gap = x[matches.treated] - x[matches.control]
    far = np.sqrt(np.maximum(np.einsum("pc,cd,pd->p", gap, inverse, gap), 0))
    table = balance(study, matches)
    worst = float(table.loc[table["matched_on"], "smd"].abs().max())
    return len(np.unique(matches.treated)), worst, float(np.average(far, weights=matches.weight))


def disturbances() -> None:
    """The questions of configs/landsat-disturbance by both."""
    config = load("configs/landsat-disturbance/impact.yaml", ImpactConfig, [])
    units = read_units(config)
    material = Material(
        units, *read_treatment(units, config), read_outcomes(config, units), read_covariates(config, units)
    )
    say(
        f"{'disturbed':<34}{'by':<12}{'effect':>8}{'95 % interval':>20}{'matched':>9}{'SMD':>7}{'distance':>10}{'s':>7}"
    )
    for question in questions(config, material):
        began = time.perf_counter()
        own = match(question.study, config.matching)
        seconds = time.perf_counter() - began
        effect = baci(question.study, Estimator(question.study, own, config.estimate, config.seed))
        _line(
            question.title, "impact", (effect.value, effect.low, effect.high), described(question.study, own), seconds
        )
        found, theirs = by_matchit(question.study, config.matching.ratio, block_side(question.study, config.estimate))
        _line("", "MatchIt", (found["effect"], *found["block"]), described(question.study, theirs), found["s"])


def _line(title: str, by: str, effect: tuple[float, ...], sets: tuple[int, float, float], seconds: float) -> None:
    interval = f"[{effect[1]:.1f}, {effect[2]:.1f}]"
    say(f"{title:<34}{by:<12}{effect[0]:>8.1f}{interval:>20}{sets[0]:>9}{sets[1]:>7.3f}{sets[2]:>10.3f}{seconds:>7.2f}")


def landscape(seed: int) -> list[dict[str, object]]:
    """Effects on one virtual landscape by both, from the maps of a fitted model."""
    world = Landscape(seed)
    model = Regression(world, Surveys(world, SURVEYS), MEMBERS, unmixed)
    first = world.image(0, Scenario())
    before, rows = model.richness(first), []
    for name, scenario in SCENARIOS.items():
        maps = np.stack([before, model.richness(world.image(1, scenario))], axis=1)
        study = world.study(maps[0], maps[1:], first)
        own = match(study, MATCHING)
        effect = baci(study, Estimator(study, own, ESTIMATE, seed))
        found, theirs = by_matchit(study, MATCHING.ratio, block_side(study, ESTIMATE))
        truth = world.expected_effect(scenario.lost)
        limits = {"impact": (effect.low, effect.high), "MatchIt, sets": found["set"], "MatchIt, blocks": found["block"]}
        for by, (low, high) in limits.items():
            sets = described(study, theirs if by.startswith("MatchIt") else own)
            value = found["effect"] if by.startswith("MatchIt") else effect.value
            rows.append({
                "scenario": name, "by": by, "bias": value - truth, "covered": low <= truth <= high,
                "flagged": low > 0 or high < 0, "width": high - low, "matched": sets[0], "smd": sets[1],
                "distance": sets[2],
            })  # fmt: skip
    return rows


def main() -> int:
    """0 where the goals hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--quick", action="store_true", help="4 landscapes, whose shares are no test of the goals")
    options = parser.parse_args()
    if shutil.which("Rscript") is None:
        raise SystemExit("bench_matchit: Rscript is not installed (Debian: r-cran-matchit, r-cran-sandwich)")
    torch.set_num_threads(1)
    disturbances()
    seeds = 4 if options.quick else options.seeds
    table = pd.DataFrame([row for seed in track(range(seeds), seeds, "landscapes") for row in landscape(seed)])
    means = table.groupby(["scenario", "by"]).mean()
    say(means.to_string(float_format=lambda each: f"{each:.3f}"))
    own = means.loc["effect", "impact"]
    rows = [
        figure("matching: planted effects covered", own["covered"], "0.90", own["covered"] >= 0.9),
        figure(
            "matching: distance over MatchIt's",
            own["distance"] / means.loc["effect", "MatchIt, blocks"]["distance"],
            "1.0",
            own["distance"] <= means.loc["effect", "MatchIt, blocks"]["distance"],
        ),
    ]
    for row in rows:
        print(json.dumps(row))
    return 0 if options.quick or all(row["holds"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
