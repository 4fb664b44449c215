"""How many surveys `sdm-ray sample` saves beside a random choice, replayed on withheld surveys.

    python tests/benchmarks/bench_sample.py [--quick] [--study STUDY] [--seeds SEEDS]

Real plots ($SDM_RAY_DATA): a third of the spatial blocks is held out; some of the other plots are surveyed at first,
the rest are withheld, and each design adds plots step by step, which a logistic regression with quadratic terms learns
from. The score is macro AUC on the held-out blocks, mean over seeds. The figure: new surveys that the design needs for
the score of a random choice, over those of the random choice; the goal is one half. About 5 minutes on 2 cores.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from sample_runs import Design, Plots, at_random, designed, netherlands, replay, swiss_alps

GOAL = 0.5
STUDIES = {"swiss-alps-plots": (swiss_alps, 4_000), "lmf-netherlands": (netherlands, 20_000)}
STEPS = {"swiss-alps-plots": [40, 60, 80, 120, 160, 240], "lmf-netherlands": [40, 60, 80, 120, 160, 320]}
DESIGNS: dict[str, Design] = {
    "random": at_random,
    "sample": designed(uncertain=False),
    "sample, uncertainty: entropy": designed(uncertain=True),
}


def curves(plots: Plots, steps: list[int], block_m: float, seeds: int) -> dict[str, np.ndarray]:
    """Design -> macro AUC by number of surveys and seed, (seeds, steps)."""
    return {
        name: np.array([replay(plots, design, steps, seed, block_m)[:, 0] for seed in range(seeds)])
        for name, design in DESIGNS.items()
    }


def ratios(steps: list[int], random: np.ndarray, design: np.ndarray) -> list[float]:
    """New surveys of a design over those of a random choice, at the random choice's score after each step.

    Where the design never reaches the score the ratio is infinite.
    """
    found = []
    for number, score in enumerate(random[1:], 1):
        rising = np.maximum.accumulate(design)
        needed = float(np.interp(score, rising, steps)) if rising[-1] >= score else np.inf
        found.append((needed - steps[0]) / (steps[number] - steps[0]))
    return found


def table(steps: list[int], scores: dict[str, np.ndarray]) -> None:
    """Print the curves, with the standard error of their differences from the random choice."""
    print(f"{'surveys':30}" + "".join(f"{step:>8}" for step in steps))
    for name, each in scores.items():
        print(f"{name:30}" + "".join(f"{value:8.4f}" for value in each.mean(0)))
        if name != "random":
            error = (each - scores["random"]).std(0, ddof=1) / np.sqrt(len(each)) if len(each) > 1 else each[0] * 0
            print(f"{'  difference, standard error':30}" + "".join(f"{value:8.4f}" for value in error))
            shares = ratios(steps, scores["random"].mean(0), each.mean(0))
            print(f"{'  new surveys beside random':30}" + f"{'':8}" + "".join(f"{share:8.2f}" for share in shares))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one study, two seeds, three steps")
    parser.add_argument("--study", choices=STUDIES, help="one study instead of all")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = Path(os.environ["SDM_RAY_DATA"])
    holds = True
    named = [options.study] if options.study else list(STUDIES)[: 1 if options.quick else None]
    for study in named:
        read, block_m = STUDIES[study]
        steps = STEPS[study][:: 2 if options.quick else 1]
        scores = curves(read(data), steps, block_m, 2 if options.quick else options.seeds)
        print(f"\n{study}: macro AUC on held-out blocks")
        table(steps, scores)
        middle = len(steps) // 2 - 1
        share = ratios(steps, scores["random"].mean(0), scores["sample"].mean(0))[middle]
        figure = f"{study}: new surveys for the AUC of {steps[middle + 1] - steps[0]} random ones, share"
        line = {"figure": figure, "value": round(share, 3), "unit": "1", "goal": f"<= {GOAL}", "holds": share <= GOAL}
        print(json.dumps(line))
        holds &= share <= GOAL
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
