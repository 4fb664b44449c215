"""Memory of a map of scenarios: peak of a worker that maps one tile, with one scenario and with four.

Run: uv run python tests/benchmarks/bench_scenarios.py [--species 65] [--side 256]

Each map is made in a process of its own, without Ray, by the code that a worker runs. The model is untrained: memory
does not depend on its weights.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from upath import UPath

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers.small_models import PLAIN, save_model

from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import whole
from sdm_ray.mapping import plan, setup
from sdm_ray.mapping.config import MapConfig
from sdm_ray.mapping.tile import Mapper
from sdm_ray.stores import artefact, maps
from sdm_ray.stores.covariates import write_covariates
from sdm_ray.stores.land import write_land

COUNTS = (1, 4)


def prepare(folder: UPath, species: int, side: int) -> None:
    """Write land, covariates of today and of four scenarios, and a model."""
    grid = Grid(4_000_000, 3_200_000, 1000, side, side)
    write_land(folder / "land.zarr", grid, np.ones((side, side), bool), np.ones((side, side), np.int16), ["A"])
    numbers = np.random.default_rng(0)
    for name in ("today", *(f"scenario-{number}" for number in range(max(COUNTS)))):
        values = numbers.normal(size=(3, side, side)).astype(np.float32)
        write_covariates(folder / f"{name}.zarr", grid, ["rain", "warmth", "lime"], values, 1000)
        artefact.seal(folder / f"{name}.zarr", artefact.Record(kind="covariates", fingerprint=name))
    save_model(folder / "model", PLAIN, [f"Species {number}" for number in range(species)], None)
    artefact.seal(folder / "model", artefact.Record(kind="model", fingerprint="model"))
    artefact.seal(folder / "land.zarr", artefact.Record(kind="land", fingerprint="land"))


def measure(folder: UPath, count: int, side: int) -> None:
    """Map one tile in this process; print its peak memory, bytes."""
    scenarios = {f"scenario-{number}": {"covariates": f"scenario-{number}.zarr"} for number in range(count)}
    config = MapConfig(run_dir=str(folder), covariates="today.zarr", scenarios=scenarios, tile=side)
    output = folder / f"map-{count}.zarr"
    ready = setup.prepare(config, output, "f")
    maps.create_map(output, ready.work.area.grid, ready.spec)
    (tile,) = plan.make(ready.work.area.grid, side, lambda window: np.ones((window.height, window.width), bool)).tiles
    assert tile.window == whole(ready.work.area.grid)
    figures = Mapper(ready.work).do(tile)
    assert f"scenario-{count - 1}/gained" in figures
    print(json.dumps({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


def main() -> None:
    """Measure and print; the exit status tells whether the goal holds."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--species", type=int, default=65)
    asked.add_argument("--side", type=int, default=256)
    asked.add_argument("--quick", action="store_true")
    asked.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = asked.parse_args()
    if args.one:
        measure(UPath(args.one[0]), int(args.one[1]), args.side)
        return
    peaks = {}
    with tempfile.TemporaryDirectory() as place:
        prepare(UPath(place), args.species, args.side)
        for count in COUNTS:
            command = [sys.executable, __file__, "--side", str(args.side), "--one", place, str(count)]
            made = subprocess.run(command, check=True, capture_output=True, text=True)
            peaks[count] = json.loads(made.stdout.splitlines()[-1])["peak"]
    table = pd.DataFrame({"scenarios": list(peaks), "peak MB": [round(each / 1e6) for each in peaks.values()]})
    print(table.to_string(index=False))
    ratio = peaks[COUNTS[1]] / peaks[COUNTS[0]]
    holds = ratio <= 1.1
    name = f"memory of {COUNTS[1]} scenarios to that of {COUNTS[0]}"
    print(json.dumps({"figure": name, "value": round(ratio, 3), "unit": "ratio", "goal": 1.1, "holds": holds}))
    sys.exit(not holds)


if __name__ == "__main__":
    main()
