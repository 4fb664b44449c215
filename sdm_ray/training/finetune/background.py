"""Background places: where a loss of presence-only records compares the records with, instead of absences."""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import to_lonlat, to_xy
from sdm_ray.progress import say
from sdm_ray.readers import polygons
from sdm_ray.readers.tables import numbers, read_table
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.embedding_sources import expanded
from sdm_ray.stores.labels import SparseLabels
from sdm_ray.streams.survey_dataset import SurveyDataset
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.inputs import CovariateTable, covariates_at, windows_at
from sdm_ray.training.finetune.survey_covariates import columns_of, side_by_side

_CANDIDATES = 20  # cells drawn for each place that is kept by a polygon or a bias layer

Places = NDArray[np.float64]


def background_of(
    config: FinetuneConfig, surveys: SurveyDataset, store: Covariates | None, known: CovariateTable
) -> SurveyDataset | None:
    """Places that stand for all places, with labels of none; None where the loss needs none.

    Args:
        config: of the job.
        surveys: all surveys; the places of `target_group`.
        store: the covariates of the model.
        known: the covariates of the surveys, with those of `survey_covariates` last.

    Raises:
        InputError: the table, the polygon or the bias layer cannot be used, or no place is left.
    """
    kind = config.presence.background
    if kind is None:
        return None
    found = replace(
        surveys,
        rows=np.arange(len(surveys)),
        labels=SparseLabels.none(len(surveys), surveys.labels.n_species),
        seed=surveys.seed + 1,
    )
    if kind == "target_group":
        return found
    table = _table(config, known) if kind == "table" else None
    x, y = _drawn(config, store) if table is None else _places(table, config.presence.table or "")
    lonlat = np.column_stack(to_lonlat(x, y))
    covariates = covariates_at(store, x, y, partly=config.model.partial_covariates)
    if config.survey_covariates and table is not None:
        own = known.last(len(known.names) - len(covariates.names))
        covariates = side_by_side(covariates, columns_of(table, own, config.presence.table or ""))
    say(f"  {len(x)} background places ({kind})")
    return replace(
        found,
        rows=np.arange(len(x)),
        all_lonlat=lonlat,
        covariates=covariates.values,
        known=covariates.known,
        images=windows_at(config, lonlat),
        labels=SparseLabels.none(len(x), surveys.labels.n_species),
    )


def _table(config: FinetuneConfig, known: CovariateTable) -> pd.DataFrame:
    """The table of places, with the columns of `survey_covariates`; of an embedding those of its components."""
    columns = expanded(config.survey_covariates, known.embeddings)
    return read_table(config.presence.table or "", ["lon", "lat", *columns])


def _places(table: pd.DataFrame, path: str) -> tuple[Places, Places]:
    """Metres east and north of the places of a table."""
    lon, lat = (numbers(table, name, path).to_numpy() for name in ("lon", "lat"))
    wrong = ~((np.abs(lon) <= 180) & (np.abs(lat) <= 90))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(f"{path}: row {row + 1} is ({lon[row]}, {lat[row]}); expected degrees, longitude first")
    return to_xy(lon, lat)


def _drawn(config: FinetuneConfig, store: Covariates | None) -> tuple[Places, Places]:
    """Metres east and north of cells of the covariates, within a polygon or weighted by a layer where one is named."""
    presence = config.presence
    assert store is not None  # as the configuration has it
    if presence.bias is None and presence.region is None:
        return store.draw(presence.places, config.seed)[:2]
    whole = Covariates(store.path)
    named = [*store.names, *([presence.bias] if presence.bias else [])]
    x, y, values = whole.select(dict.fromkeys(named), " (presence.bias)").draw(
        presence.places * _CANDIDATES, config.seed
    )
    weight = np.ones(len(x))
    if presence.bias is not None:
        weight = values[:, list(dict.fromkeys(named)).index(presence.bias)].astype(np.float64)
        if (weight < 0).any():
            raise InputError(
                f"presence.bias: {presence.bias} of {store.path} has {weight.min():g}; expected no negative weight"
            )
    if presence.region is not None:
        weight = weight * polygons.inside(polygons.outline(presence.region), *to_lonlat(x, y))
    usable = int((weight > 0).sum())
    if usable == 0:
        where = presence.region if presence.region is not None else presence.bias
        raise InputError(
            f"presence: no cell of {store.path} is left as background by {where}; expected the same region"
        )
    drawn = np.random.default_rng(config.seed).choice(
        len(x), min(presence.places, usable), replace=False, p=weight / weight.sum()
    )
    return x[drawn], y[drawn]
