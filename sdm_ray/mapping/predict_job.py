"""The job `predict`: probabilities and sets of species for a table of places, such as the test table of a challenge."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sdm_ray.errors import InputError, few
from sdm_ray.geo.grid import to_xy
from sdm_ray.job import Job
from sdm_ray.mapping.config import PredictConfig
from sdm_ray.mapping.predict_scores import score
from sdm_ray.metrics import species_sets
from sdm_ray.metrics.probability_kind import has_levels
from sdm_ray.model_io import SpeciesFolder, load_species_model, read_species_folder
from sdm_ray.predictor import Given, SpeciesPredictor
from sdm_ray.progress import say, track
from sdm_ray.readers import embedding_tables
from sdm_ray.readers import places as read
from sdm_ray.readers.tables import numbers, read_table, whole_texts
from sdm_ray.stores.artefact import read_record, write_sources
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.embedding_sources import require_same

_ROWS = 1024  # of a part, as far as progress is shown: parts with large images are smaller


def run(config: PredictConfig, job: Job) -> dict[str, Any]:
    """Write `probabilities.parquet`, a row for each place, and `sets.csv`, as GeoLifeCLEF takes it.

    `sets.csv` has the column of ids and `predictions`, the names of the species with blanks between them, the likeliest
    first; a name that holds a blank stands in quotes.

    Raises:
        InputError: the table, the model or an input cannot be used, two places have one id, or probabilities are
            `relative` and the sets would take them for chances.
    """
    place = config.path(config.model)
    about = read_species_folder(place)  # without its weights: what does not fit is told before any work
    if not has_levels(about.probability_kind) and config.sets != "top_k":
        raise InputError(
            f"sets: {config.sets} takes probabilities for chances, those of {place} are relative; expected top_k"
        )
    places, given = _places(config, about)
    lonlat = places[["lon", "lat"]].to_numpy()
    remark = read.outside_region(lonlat, about.region)
    if remark is not None:
        say(f"predict: {config.table}: {remark}")
    model = SpeciesPredictor(load_species_model(place))
    sets: list[list[str]] = []
    known: list[str] = []
    with (job.output / "probabilities.parquet").open("wb") as file:
        writer = None
        for part in track(model.parts(lonlat, given), -(-len(places) // _ROWS), "places"):
            table = part.reset_index()
            known += table["inputs"].tolist()
            table.insert(0, config.id, places[config.id].iloc[len(sets) : len(sets) + len(part)].to_numpy())
            writer = writer or pq.ParquetWriter(file, pa.Schema.from_pandas(table, preserve_index=False))
            writer.write_table(pa.Table.from_pandas(table, writer.schema, preserve_index=False))
            sets += _sets(config, part.to_numpy(), model.species)
        if writer is not None:
            writer.close()
    answer = pd.DataFrame(
        {config.id: places[config.id], "predictions": [" ".join(map(_quoted, each)) for each in sets]}
    )
    (job.output / "sets.csv").write_text(answer.to_csv(index=False))
    figures: dict[str, Any] = {"places": len(places), "species_per_place": float(np.mean([len(each) for each in sets]))}
    for name in sorted(set(known)):
        figures[f"share_from_{name.replace(' ', '_')}"] = known.count(name) / len(known)
    if config.labels is not None:
        scored = score(config.labels, places[config.id], sets, job.output / "probabilities.parquet")
        shown = ", ".join(f"{name} {value:.4g}" for name, value in scored.items() if value is not None)
        say(f"predict: {shown}")
        figures |= scored
    (job.output / "metrics.json").write_text(json.dumps(figures, indent=1))
    write_sources(
        job.output, sorted({each for name in config.reads() for each in read_record(config.path(name)).sources})
    )
    say(f"predict: {len(places)} places, {figures['species_per_place']:.1f} species each; {job.output / 'sets.csv'}")
    return figures


def _sets(config: PredictConfig, probabilities: np.ndarray, names: list[str]) -> list[list[str]]:
    """The names of each place's set of species, the likeliest first."""
    chosen = species_sets.choose(probabilities, config.sets, config.k, config.threshold)
    ranked = np.argsort(-probabilities, axis=1, kind="stable")
    return [[names[each] for each in order if own[each]] for order, own in zip(ranked, chosen, strict=True)]


def _quoted(name: str) -> str:
    """A name that can stand among others with blanks between them, as CSV quotes what holds the separator."""
    return f'"{name.replace(chr(34), chr(34) * 2)}"' if " " in name or '"' in name else name


def _places(config: PredictConfig, about: SpeciesFolder) -> tuple[pd.DataFrame, Given]:
    """Ids, `lon`, `lat` and the covariates of the places, and what else they are predicted from.

    Rows that say the same count once.
    """
    names, path = about.config.covariates, config.table
    candidates = dict.fromkeys([*names, *(name.rpartition("=")[0] for name in names if "=" in name)])
    raw = read_table(path, [config.id, config.lon, config.lat], list(candidates))
    raw, embeddings, lacking = embedding_tables.joined(raw, whole_texts(raw[config.id]), config.embeddings)
    for what, count in lacking.items():
        say(f"predict: {path}: {count} of {len(raw)} rows are {what.replace('_', ' ')}")
    columns = read.covariate_columns(list(raw.columns), names)
    store = None if config.covariates is None else Covariates(config.path(config.covariates))
    if store is not None:
        if ignored := [name for name in columns if name in store.names]:
            say(f"predict: {path}: covariates are those of `covariates`, not of its columns {few(ignored)}")
        columns = [name for name in columns if name not in store.names]
        own = [each for each in about.embeddings if each.among(store.names)]
        require_same(own, store.embeddings, store.path, f", which {config.model} was trained on")
    elif names and not columns and config.covariates is None:
        say(f"predict: neither `covariates` nor a column of {path} gives {few(names)}; places are predicted without")
    own = [each for each in about.embeddings if each.among(columns)]
    require_same(own, embeddings, path, f", which {config.model} was trained on; name its table under `embeddings`")
    ids = read.ids_of(raw, config.id, path)
    named = {"lon": config.lon, "lat": config.lat} | {name: name for name in columns if name in names}
    places = pd.DataFrame({config.id: ids} | {name: numbers(raw, column, path) for name, column in named.items()})
    places = places.assign(**{name: raw[name].to_numpy() for name in columns if name not in named})
    read.check_places(places[["lon", "lat"]].to_numpy(), path, force="far" in config.force)
    places = places.drop_duplicates()
    twice = places[config.id].duplicated()
    if twice.any():
        row = int(places.index.to_numpy()[twice.to_numpy().argmax()])
        what = "place or other covariates" if columns else "place"
        raise InputError(f"{path}: row {row + 1}: {config.id} {ids[row]} stands at another {what} before")
    places = places.reset_index(drop=True)
    stores = {name: getattr(config, name) for name in ("covariates", "cube", "series", "shards")}
    given: dict[str, Any] = {name: None if each is None else config.path(each) for name, each in stores.items()}
    if columns:
        given["covariates"] = places[columns] if store is None else _joined(store, places, columns, names)
    return places, Given(**given, ids=places[config.id])


def _joined(store: Covariates, places: pd.DataFrame, columns: list[str], names: Sequence[str]) -> pd.DataFrame:
    """Covariates of the store and, where it has none of a name, of the table's columns."""
    own = store.select([name for name in names if name in store.names])
    values, known = own.at(*to_xy(places["lon"].to_numpy(), places["lat"].to_numpy()))
    found = pd.DataFrame(np.where(known, values, np.float32(np.nan)), columns=own.names)
    return found.assign(**{name: places[name].to_numpy() for name in columns})
