"""Planted effects of management on virtual landscapes, found through maps of a fitted model; and placebos.

    python tests/benchmarks/bench_impact.py [--quick] [--seeds 100] [--kept runs/impact-seeds.jsonl]

Each seed is a landscape with its parcels, surveys and species. A model of unmixed land cover and climate is fitted on
the surveys of the first date and maps richness at both dates; the maps of its refits on resampled surveys are the
joint draws of its error. The same question is put to these maps and to the true ones (the oracle): with a planted
effect, with none, and with none under another season and sensor at the second date. Seeds lie in the file `--kept`, so
that a run goes on where another ended. A model of bands as they are, too stiff for the species, shows, without a goal,
what a model that is wrong in shape does to an effect.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from managed_landscapes import Landscape, Regression, Scenario, Surveys, bands_as_they_are, unmixed

from sdm_ray.impact.config import EstimateConfig, MatchingConfig
from sdm_ray.impact.estimate import Effect, Estimator, baci
from sdm_ray.impact.matching import match
from sdm_ray.progress import say, track

LOST = 0.5
"""Share of their forest that treated parcels lose."""
SCENARIOS = {"effect": Scenario(LOST), "no treatment": Scenario(), "another season and sensor": Scenario(0.0, True)}
SURVEYS, MEMBERS = 3000, 30
STIFF = 28
"""Seeds on which the stiff model is tried."""
MATCHING, ESTIMATE = MatchingConfig(), EstimateConfig(resamples=300)
NAMES = ("model", "model, sampling alone", "stiff model", "oracle")


def one(seed: int) -> dict[str, object]:
    """Truth, and value and limits by each way, of each scenario."""
    landscape = Landscape(seed)
    surveys, plain = Surveys(landscape, SURVEYS), Scenario()
    models = {"model": Regression(landscape, surveys, MEMBERS, unmixed)}
    if seed < STIFF:
        models["stiff model"] = Regression(landscape, surveys, MEMBERS, bands_as_they_are)
    first = landscape.image(0, plain)
    before = {name: model.richness(first) for name, model in models.items()}
    found: dict[str, object] = {
        "seed": seed,
        "treated": int(landscape.treated.sum()),
        "parcels": len(landscape.parcels),
    }
    for name, scenario in SCENARIOS.items():
        true = np.stack([landscape.probability(0).sum(axis=0), landscape.probability(1, scenario.lost).sum(axis=0)])
        oracle = landscape.study(true, None, first)
        matches = match(oracle, MATCHING)
        rows: dict[str, object] = {"truth": landscape.expected_effect(scenario.lost)}
        rows["oracle"] = _limits(baci(oracle, Estimator(oracle, matches, ESTIMATE, seed)))
        second = landscape.image(1, scenario)
        for kind, model in models.items():
            maps = np.stack([before[kind], model.richness(second)], axis=1)
            study = landscape.study(maps[0], maps[1:], first)
            estimator = Estimator(study, matches, ESTIMATE, seed)
            rows[kind] = _limits(baci(study, estimator))
            if kind == "model":
                rows["model, sampling alone"] = _limits(estimator.effect(study.changes()))
        found[name] = rows
    return found


def _limits(effect: Effect) -> list[float]:
    return [effect.value, effect.low, effect.high]


def table(seeds: list[dict[str, object]]) -> dict[tuple[str, str], dict[str, float]]:
    """Scenario and way -> bias, share of intervals that hold the truth, share beyond zero, width over the oracle's."""
    found = {}
    for scenario in SCENARIOS:
        for name in NAMES:
            rows = [seed[scenario] for seed in seeds if name in seed[scenario]]
            truth = np.array([row["truth"] for row in rows])
            wide = np.mean([row["oracle"][2] - row["oracle"][1] for row in rows])
            value, low, high = np.array([row[name] for row in rows]).T
            found[scenario, name] = {
                "truth": truth.mean(),
                "bias": (value - truth).mean(),
                "covered": np.mean((low <= truth) & (truth <= high)),
                "flagged": np.mean((low > 0) | (high < 0)),
                "width": (high - low).mean() / wide,
            }
    return found


def main() -> int:
    """0 where all goals hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="5 seeds, whose figures are no test of the goals")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--kept", type=Path, default=Path("runs/impact-seeds.jsonl"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    wanted = 5 if options.quick else options.seeds
    options.kept.parent.mkdir(parents=True, exist_ok=True)
    lines = options.kept.read_text().splitlines() if options.kept.exists() else []
    done = {row["seed"]: row for row in map(json.loads, lines)}
    todo = [seed for seed in range(wanted) if seed not in done]
    for seed in track(todo, len(todo), "seeds"):
        done[seed] = one(seed)
        with options.kept.open("a") as file:
            file.write(json.dumps(done[seed]) + "\n")
    figures = table([done[seed] for seed in range(wanted)])
    say(f"{wanted} landscapes; planted: parcels lose {LOST:.0%} of their forest")
    say(f"{'scenario':<28}{'by':<24}{'truth':>8}{'bias':>8}{'covered':>9}{'flagged':>9}{'width':>8}")
    for (scenario, name), row in figures.items():
        shares = f"{row['covered']:>9.0%}{row['flagged']:>9.0%}{row['width']:>8.2f}"
        say(f"{scenario:<28}{name:<24}{row['truth']:>8.3f}{row['bias']:>8.3f}{shares}")
    effect = figures["effect", "model"]
    most = 0.1 if wanted >= 100 else 0.25
    rows = [
        figure("impact: planted effects covered", effect["covered"], "0.90 to 0.99", 0.9 <= effect["covered"] <= 0.99),
        figure(f"impact: power at {effect['truth']:.2f} species", effect["flagged"], "0.8", effect["flagged"] >= 0.8),
        figure("impact: width over the oracle's", effect["width"], "1.5", effect["width"] <= 1.5),
    ]
    for name in list(SCENARIOS)[1:]:
        flagged = figures[name, "model"]["flagged"]
        rows.append(figure(f"impact: flagged with {name}", flagged, str(most), flagged <= most))
    for row in rows:
        print(json.dumps(row))
    return 0 if options.quick or all(row["holds"] for row in rows) else 1


def figure(name: str, value: float, goal: str, holds: bool) -> dict[str, object]:
    """One figure in the benchmarks' common form."""
    return {"figure": name, "value": round(float(value), 3), "unit": "share", "goal": goal, "holds": bool(holds)}


if __name__ == "__main__":
    sys.exit(main())
