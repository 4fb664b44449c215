"""How often joint intervals hold what was observed, in blocks that neither the model nor the intervals have seen.

    python tests/benchmarks/bench_intervals.py [--runs FOLDER] [--quick]

Two data sets ($SDM_RAY_DATA): trees of Europe (presence of recorded trees in cells of 1 km, configs/europe-trees) and
plots of the Netherlands. The model is the random forest of the baselines, on location and covariates, with few trees.
For each of five folds of 100-km blocks, the fold is predicted by a forest of the other four; the error model is fitted
on these four, each predicted by a forest of the other three. So the fold's labels are in neither. Zones are single
surveys, squares of 10 km and of 100 km; quantities are richness (presences of all species in a zone) and presences of
each species of which at least 5 are expected. Predictions are kept in FOLDER. --quick: one fold.
"""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from trees_data import prepared
from upath import UPath

from sdm_ray.baselines.config import ForestConfig
from sdm_ray.baselines.random_forest import Forest
from sdm_ray.geo.blocks import Blocks, fold
from sdm_ray.geo.grid import to_xy
from sdm_ray.indicators.joint_coverage import CoverageSettings, coverage
from sdm_ray.indicators.joint_fit import FitSettings, HeldOut
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.surveys import labels_of, read_surveys

BLOCKS = Blocks(size_m=100_000, folds=5)
LOW, HIGH = 0.85, 0.95
_DOUBT = 1e-3  # of a forest's shares of 0 and 1, as the species model takes them


@dataclass(frozen=True)
class Study:
    """Surveys with features.

    Attributes:
        name: of the data.
        x: EPSG:3035 metres, (N,).
        y: EPSG:3035 metres, (N,).
        features: of the forest, (N, F).
        labels: 0 or 1, (N, S).
        species: names.
        ranges_m: of the error model.
        forest: settings of the forest.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    features: np.ndarray
    labels: np.ndarray
    species: list[str]
    ranges_m: tuple[float, ...]
    forest: ForestConfig


def trees(folder: UPath) -> Study:
    """The trees of Europe, with climate and land cover."""
    prepared(folder, "shards=[]")
    frame, table = read_surveys(folder / "surveys.parquet")
    x, y = to_xy(frame["lon"].to_numpy(), frame["lat"].to_numpy())
    features = np.column_stack([frame["lon"], frame["lat"], _covariates(folder, x, y)]).astype(np.float32)
    labels = labels_of(frame, table).dense(np.arange(len(frame)))
    settings = ForestConfig(trees=8, max_features=0.3, min_samples_leaf=10)
    ranges = (5_000.0, 25_000.0, 150_000.0, np.inf)
    return Study("europe-trees", x, y, features, labels, table["name"].tolist(), ranges, settings)


def plots(folder: UPath) -> Study:
    """Plots of the Netherlands, with climate, soil type, land use, region, year and size."""
    prepared(folder, "shards=[]")
    data = Path(os.environ["SDM_RAY_DATA"]) / "lmf-netherlands"
    names = pd.read_csv(data / "chosen_species.csv")
    frame = pd.read_parquet(data / "plots.parquet").dropna(subset=names["Nednaam"].tolist()).reset_index(drop=True)
    x, y = frame["x"].to_numpy(), frame["y"].to_numpy()
    classes = pd.get_dummies(frame[["OMSCHRIJVI", "bodemgebruik", "Fys_geo_regio"]]).to_numpy(np.float32)
    numbers = frame[["lon", "lat", "Jaar", "Pq_grootte"]].fillna(frame[["Jaar", "Pq_grootte"]].median())
    features = np.column_stack([numbers, _covariates(folder, x, y), classes]).astype(np.float32)
    labels = frame[names["Nednaam"].tolist()].to_numpy(np.uint8)
    settings = ForestConfig(trees=100, max_features=0.3, min_samples_leaf=5)
    ranges = (3_000.0, 15_000.0, 60_000.0, np.inf)
    return Study("dutch-plots", x, y, features, labels, names["Wetnaam"].tolist(), ranges, settings)


def _covariates(folder: UPath, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    values, known = Covariates(folder / "covariates.zarr").at(x, y)
    return np.where(known, values, np.float32(np.nan))


def predicted(study: Study, folder: UPath, held_out: tuple[int, ...]) -> np.ndarray:
    """Probabilities (N, S) in some folds by a forest of the others, NaN elsewhere; kept in a file."""
    file = Path(str(folder)) / f"{study.name}-{'-'.join(map(str, held_out))}.npy"
    if file.exists():
        return np.load(file)
    inside = np.isin(fold(study.x, study.y, BLOCKS), held_out)
    train = np.flatnonzero(~inside)
    forest = Forest(study.forest, 0, 2)
    forest.fit(study.features, study.labels, train, train)
    share = forest.predict(study.features[inside])
    doubt = np.clip(study.labels[train].mean(axis=0) / 2, 1e-6, _DOUBT)
    found = np.full(study.labels.shape, np.nan, np.float32)
    found[inside] = (share + doubt) / (1 + 2 * doubt)
    np.save(file, found)
    return found


def measured(study: Study, folder: UPath, outer: range) -> pd.DataFrame:
    """Coverage of the intervals in the outer folds."""
    number = fold(study.x, study.y, BLOCKS)
    training, tested = [], []
    for held_out in outer:
        own = predicted(study, folder, (held_out,))
        inner = own.copy()
        for other in set(range(BLOCKS.folds)) - {held_out}:
            inner[number == other] = predicted(study, folder, tuple(sorted((held_out, other))))[number == other]
        data = HeldOut(study.x, study.y, inner, study.labels)
        training.append(data.rows(number != held_out))
        tested.append(data.rows(number == held_out))
    return coverage(training, tested, study.species, FitSettings(study.ranges_m), CoverageSettings())


def figures(study: str, table: pd.DataFrame) -> list[dict[str, object]]:
    """One for each row of the table with intervals."""
    return [
        {
            "figure": f"coverage of 90 % intervals, {study}, {row.quantity}, zones of {row.zone_km:g} km",
            "value": round(row.joint, 3),
            "unit": "share",
            "goal": [LOW, HIGH],
            "holds": bool(LOW <= row.joint <= HIGH),
        }
        for row in table.itertuples()
        if row.intervals
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", help="folder of what is prepared and predicted; by default a temporary one")
    parser.add_argument("--quick", action="store_true", help="one fold")
    parser.add_argument("--study", choices=["trees", "plots"], help="one of both")
    args = parser.parse_args()
    folder = UPath(args.runs or tempfile.mkdtemp()).absolute()
    made = []
    for name, study in {"plots": plots, "trees": trees}.items():
        if args.study in (None, name):
            found = study(folder)
            table = measured(found, folder, range(1 if args.quick else BLOCKS.folds))
            print(f"{found.name}: {len(found.x)} surveys, {len(found.species)} species")
            print(table.round(3).to_string(index=False))
            made += figures(found.name, table)
    for each in made:
        print(json.dumps(each))
    sys.exit(not all(each["holds"] for each in made))


if __name__ == "__main__":
    main()
