"""Which pretext is worth anything: pairs matched in held-out blocks, and a probe of trees in the same blocks.

    python tests/benchmarks/bench_pretext.py [GEOCLIP_WHEEL] [--runs FOLDER] [--quick]

Needs $SDM_RAY_DATA; without the wheel of GeoCLIP (its published weights are inside) its rows are left out. EuroSAT
patches and EU-Forest cells; 100-km blocks, fold 0 held out from every pretext and every probe. Two tables:
image-to-place matching by location encoder, the towers and all else equal; and a logistic probe on frozen features of
places, with all labels and with few. Controls: random initialisation, the bare ladder, the covariates themselves,
GeoCLIP as published.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from typing import Any

import torch
from pretext_runs import Features, Trees, features_of, matched, pretrained, probe, random_features
from trees_data import CONFIGS, prepared
from upath import UPath

from sdm_ray.config import load
from sdm_ray.models.geoclip import Capsules
from sdm_ray.models.location import Ladder
from sdm_ray.ray_runtime import connect
from sdm_ray.training.pretrain.config import PretrainConfig
from sdm_ray.training.pretrain.data import read_sources

FEW = (5, 10, 20, None)
CONTROLS = (
    "random initialisation",
    "ladder itself",
    "covariates",
    "covariates + ladder",
    "GeoCLIP",
    "GeoCLIP + covariates + ladder",
)
GEOCLIP = "GeoCLIP, published weights"
FINE = (3000, 1500, 750, 375, 188, 94, 47, 30)
LADDER = {"wavelengths_km": (3000, 1500, 750, 500, 250), "hidden": 256, "depth": 2, "dim": 128}


def encoders(wheel: str | None) -> dict[str, dict[str, Any]]:
    """Location encoders to match images with."""
    found = {
        "ladder from 250 km": LADDER,
        "ladder from 30 km, annealed": LADDER | {"wavelengths_km": FINE, "anneal": True},
        "SatCLIP (40 degrees)": LADDER | {"kind": "harmonics", "degrees": 40},
        "sines and cosines": LADDER | {"kind": "sincos"},
    }
    return found if wheel is None else found | {GEOCLIP: LADDER | {"kind": "capsules", "weights": wheel}}


def pretexts(wheel: str | None) -> dict[str, dict[str, Any]]:
    """What a ladder may be taught by, as changes to matching images alone."""
    none = {"scales": {}}
    matched = {"covariates": "covariates.zarr"}
    regressed = matched | {"covariates_as": "regression"}
    found = {
        "images": {},
        "covariates matched": none | matched,
        "covariates regressed": none | regressed,
        "images, covariates regressed": regressed,
    }
    if wheel is None:
        return found
    return found | {
        "teacher and covariates regressed": none | regressed | {"teacher": wheel},
        "images, teacher and covariates": regressed | {"teacher": wheel},
    }


class Bench:
    """One prepared run folder, and what is measured on it."""

    def __init__(self, runs: UPath, wheel: str | None, epochs: int) -> None:
        overrides = [
            "scales.satellite.jitter=0",
            f"optim.epochs={epochs}",
            "optim.steps_per_epoch=92",
            "optim.ema=null",
        ]
        self.base = load(CONFIGS / "examples" / "pretrain.yaml", PretrainConfig, [*prepared(runs), *overrides])
        self.trees = Trees.read(runs, self.base)
        self.geoclip = None if wheel is None else Capsules(wheel).eval()

    def config(self, seed: int, **changes: object) -> PretrainConfig:
        """A ladder matched with images alone, with some changes."""
        plain = {"location": LADDER, "covariates": None, "objective": {}}
        return PretrainConfig.model_validate(self.base.model_dump() | {"seed": seed} | plain | changes)

    def matching(self, location: dict[str, Any], seed: int) -> dict[str, float]:
        """Train on images alone with one location encoder."""
        config = self.config(seed, location=location)
        sources = read_sources(config)
        with tempfile.TemporaryDirectory() as folder:
            return matched(pretrained(config, sources, UPath(folder)), sources["satellite"], config)

    def taught(self, changes: dict[str, Any], seed: int) -> Features:
        """A ladder taught by one pretext."""
        config = self.config(seed, **changes)
        with tempfile.TemporaryDirectory() as folder:
            return pretrained(config, read_sources(config), UPath(folder)).location.eval()

    def control(self, name: str, seed: int) -> torch.Tensor:
        """Features of the trees' places, (N, F), that no pretext has taught."""
        config = self.config(seed).location
        ladder = Ladder(config)
        ways: dict[str, tuple[tuple[Features, ...], bool]] = {
            "random initialisation": ((random_features(config, seed),), False),
            "ladder itself": ((ladder,), False),
            "covariates": ((), True),
            "covariates + ladder": ((ladder,), True),
        }
        if self.geoclip is not None:
            ways["GeoCLIP"] = (self.geoclip,), False
            ways["GeoCLIP + covariates + ladder"] = (self.geoclip, ladder), True
        features, covariates = ways[name]
        return features_of(self.trees, *features, covariates=covariates)


def table(title: str, rows: dict[str, list[dict[str, float]]]) -> None:
    """Means over the seeds, with the standard deviation where there are several."""
    if not rows:
        return
    columns = list(next(iter(rows.values()))[0])
    print(f"\n{title}\n{'':<36}" + "".join(f"{column:>18}" for column in columns))
    for name, found in rows.items():
        cells = []
        for column in columns:
            values = [each[column] for each in found]
            spread = f" ({statistics.stdev(values):.3f})" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.3f}{spread}")
        print(f"{name:<36}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


def mean(rows: dict[str, list[dict[str, float]]], name: str, column: str) -> float:
    """Mean over the seeds."""
    return statistics.mean(each[column] for each in rows[name])


def figure(name: str, value: float, goal: float) -> dict[str, object]:
    """A difference that holds where it is above its goal."""
    return {"figure": name, "value": float(f"{value:.3g}"), "unit": "difference", "goal": goal, "holds": value > goal}


def main() -> int:
    """0 where all goals hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", nargs="?", help="geoclip-*.whl")
    parser.add_argument("--runs", default="runs/pretext", help="folder of the prepared data")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=None, help="names of what is compared")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="one seed, one epoch, under a minute")
    given = parser.parse_args()
    seeds, epochs = ([0], 1) if given.quick else (given.seeds, given.epochs)

    def wanted(named: dict[str, Any]) -> dict[str, Any]:
        return {name: each for name, each in named.items() if given.only is None or name in given.only}

    connect()
    torch.set_num_threads(2)
    bench = Bench(UPath(given.runs).absolute(), given.wheel, epochs)
    start = time.monotonic()

    shown = ("top1", "top5", "error_km", "within_25km", "within_200km")
    pairs = {
        name: [{key: found[key] for key in shown} for found in (bench.matching(each, seed) for seed in seeds)]
        for name, each in wanted(encoders(given.wheel)).items()
    }
    table(f"Matching {epochs} epochs of EuroSAT patches, 1,000 held-out candidates", pairs)

    columns = {k: f"k = {k}" if k else "all labels" for k in FEW}
    probes: dict[str, list[dict[str, float]]] = {}
    controls = [name for name in CONTROLS if given.wheel is not None or "GeoCLIP" not in name]
    for name, changes in wanted({**dict.fromkeys(controls), **pretexts(given.wheel)}).items():
        for seed in seeds:
            if changes is None:
                ways = {name: bench.control(name, seed)}
            else:
                features = bench.taught(changes, seed)
                ways = {
                    name: features_of(bench.trees, features),
                    f"{name} + cov.": features_of(bench.trees, features, covariates=True),
                }
            for way, x in ways.items():
                found = {k: probe(x, bench.trees, k, seed) for k in FEW}
                row = {f"AUC {columns[k]}": found[k][0] for k in FEW} | {"AP all labels": found[None][1]}
                probes.setdefault(way, []).append(row)
    table("Logistic probe of trees on frozen features, held-out blocks", probes)
    print(f"\n{len(seeds)} seeds, {time.monotonic() - start:.0f} s after preparation")

    first = next(iter(encoders(given.wheel)))
    figures = [
        figure(f"top-5 of {first} above {baseline}", mean(pairs, first, "top5") - mean(pairs, baseline, "top5"), 0)
        for baseline in (GEOCLIP, "SatCLIP (40 degrees)")
        if {first, baseline} <= set(pairs)
    ]
    taught = [name for name in probes if name in pretexts(given.wheel)]
    best = max(taught, key=lambda name: mean(probes, name, "AUC k = 10"))
    for control in [name for name in CONTROLS if name in probes and "covariates" not in name]:
        gain = mean(probes, best, "AUC k = 10") - mean(probes, control, "AUC k = 10")
        figures.append(figure(f"AUC at k = 10 of the best pretext ({best}) above {control}", gain, 0))
    for each in figures:
        print(json.dumps(each))
    return 0 if all(each["holds"] for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
