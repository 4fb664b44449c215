"""What units are matched on, as numbers: columns of their table, and the covariate store at their places."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdm_ray.errors import InputError
from sdm_ray.impact.config import ImpactConfig
from sdm_ray.impact.units import Units
from sdm_ray.readers.tables import numbers, texts
from sdm_ray.stores.covariates import Covariates

_MOST_CLASSES = 50


@dataclass(frozen=True)
class Design:
    """Covariates of all units.

    Attributes:
        names: one for each column; of a class `column=value`.
        values: NaN where not known, (N, C).
        exact: number of the group of equal values of `matching.exact`, -1 where one is not known, (N,).
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    exact: NDArray[np.int64]


def read_covariates(config: ImpactConfig, units: Units) -> Design:
    """Read the covariates.

    Raises:
        InputError: a column has too many classes, or the store lacks a covariate.
    """
    columns: dict[str, NDArray[np.float64]] = {}
    for name in config.covariates.columns:
        columns |= _column(units.table, name, config)
    if config.covariates.store is not None:
        store = Covariates(config.path(config.covariates.store))
        if config.covariates.names is not None:
            store = store.select(config.covariates.names)
        values, known = store.at(units.x, units.y)
        found = np.where(known, values.astype(np.float64), np.nan)
        columns |= dict(zip(store.names, found.T, strict=True))
    matrix = np.column_stack(list(columns.values())) if columns else np.empty((len(units.ids), 0))
    return Design(tuple(columns), matrix, _groups(units.table, config.matching.exact))


def _column(table: pd.DataFrame, name: str, config: ImpactConfig) -> dict[str, NDArray[np.float64]]:
    """A column as it is if it holds numbers, else one of 0 and 1 for each of its classes but the commonest."""
    words = texts(table[name])
    number = pd.to_numeric(words.str.replace(config.format.decimal, "."), errors="coerce")
    if name not in config.covariates.classes and (number.notna() | words.isna()).all():
        return {name: numbers(table, name, config.units, config.format.decimal).to_numpy()}
    classes = words.value_counts().index.tolist()
    if len(classes) > _MOST_CLASSES:
        raise InputError(
            f"{config.units}: column {name} holds {len(classes)} classes such as {classes[0]!r}, expected numbers or"
            f" at most {_MOST_CLASSES} classes; match it exactly (matching.exact) instead"
        )
    known = words.notna().to_numpy()
    return {f"{name}={each}": np.where(known, (words == each).to_numpy(bool), np.nan) for each in classes[1:]}


def _groups(table: pd.DataFrame, columns: list[str]) -> NDArray[np.int64]:
    if not columns:
        return np.zeros(len(table), np.int64)
    grouped = table.groupby([texts(table[name]) for name in columns], dropna=True, sort=True)
    return np.asarray(grouped.ngroup(), np.int64)
