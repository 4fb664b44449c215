"""The job `predict`: probabilities and sets of species for a table of places, such as the test table of a challenge."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sdm_ray.errors import InputError
from sdm_ray.job import Job
from sdm_ray.mapping.config import PredictConfig
from sdm_ray.metrics import species_sets
from sdm_ray.metrics.probability_kind import has_levels
from sdm_ray.model_io import load_species_model
from sdm_ray.predictor import SpeciesPredictor
from sdm_ray.progress import say, track
from sdm_ray.readers.tables import numbers, read_table, texts

_ROWS = 4096


def run(config: PredictConfig, job: Job) -> dict[str, Any]:
    """Write `probabilities.parquet`, a row for each place, and `sets.csv`, as GeoLifeCLEF takes it.

    `sets.csv` has the column of ids and `predictions`, the names of the species with blanks between them, the likeliest
    first.

    Raises:
        InputError: the table, the model or an input cannot be used, two places have one id, or probabilities are
            `relative` and the sets would take them for chances.
    """
    model = SpeciesPredictor(load_species_model(config.path(config.model)))
    if not has_levels(model.probability_kind) and config.sets != "top_k":
        raise InputError(
            f"sets: {config.sets} takes probabilities for chances, those of {config.path(config.model)} are relative;"
            " expected top_k"
        )
    places = _places(config)
    stores = [
        str(config.path(name)) if name else None
        for name in (config.covariates, config.cube, config.series, config.shards)
    ]
    lines, sizes, known = [], [], []
    with (job.output / "probabilities.parquet").open("wb") as file:
        writer = None
        for start in track(range(0, len(places), _ROWS), -(-len(places) // _ROWS), "places"):
            part = places.iloc[start : start + _ROWS]
            found = model.predict(part.rename(columns={config.id: "survey_id"}), *stores)
            known += found.index.get_level_values("inputs").tolist()
            table = found.reset_index()
            table.insert(0, config.id, part[config.id].to_numpy())
            writer = writer or pq.ParquetWriter(file, pa.Schema.from_pandas(table, preserve_index=False))
            writer.write_table(pa.Table.from_pandas(table, writer.schema, preserve_index=False))
            probabilities = found.to_numpy()
            sets_of = species_sets.choose(probabilities, config.sets, config.k, config.threshold)
            for values, chosen in zip(probabilities, sets_of, strict=True):
                ranked = [int(each) for each in np.argsort(-values, kind="stable") if chosen[each]]
                lines.append(" ".join(model.species[each] for each in ranked))
                sizes.append(len(ranked))
        if writer is not None:
            writer.close()
    answer = pd.DataFrame({config.id: places[config.id], "predictions": lines})
    (job.output / "sets.csv").write_text(answer.to_csv(index=False))
    figures = {"places": len(places), "species_per_place": float(np.mean(sizes))}
    for name in sorted(set(known)):
        figures[f"share_from_{name.replace(' ', '_')}"] = known.count(name) / len(known)
    (job.output / "metrics.json").write_text(pd.Series(figures).to_json())
    say(f"predict: {len(places)} places, {figures['species_per_place']:.1f} species each; {job.output / 'sets.csv'}")
    return figures


def _places(config: PredictConfig) -> pd.DataFrame:
    """`lon`, `lat` and the ids of the places; the rows of one place count once."""
    raw = read_table(config.table, [config.id, config.lon, config.lat])
    ids = texts(raw[config.id])
    if ids.isna().any():
        raise InputError(f"{config.table}: row {int(np.flatnonzero(ids.isna())[0]) + 1} has no {config.id}")
    where = {name: numbers(raw, column, config.table) for name, column in (("lon", config.lon), ("lat", config.lat))}
    places = pd.DataFrame({config.id: ids, **where}).drop_duplicates()
    twice = places[config.id].duplicated()
    if twice.any():
        raise InputError(f"{config.table}: {config.id} {places[config.id][twice].iloc[0]} stands at two places")
    return places.reset_index(drop=True)
