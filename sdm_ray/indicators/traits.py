"""Traits, ranges and lists of species, matched with the species of a map by their names."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdm_ray.errors import InputError
from sdm_ray.indicators.config import ListConfig, RangesConfig, SpeciesTable, TraitsConfig
from sdm_ray.progress import say
from sdm_ray.readers.tables import numbers, read_table, texts
from sdm_ray.sources.occurrences.species_matcher import SpeciesMatcher


def read_traits(config: TraitsConfig, matcher: SpeciesMatcher) -> dict[str, NDArray[np.float64]]:
    """Traits of a map's species, each (S,), NaN where unknown; of several rows of a species the mean.

    Raises:
        InputError: the table cannot be read, names none of the species, or has no value of a trait for them.
    """
    table, number = _rows(config, config.columns, matcher)
    found: dict[str, NDArray[np.float64]] = {}
    for column in config.columns:
        values = numbers(table, column, config.file, config.format.decimal)
        found[column] = _by_species(values, number, len(matcher.species))
        unknown = int(np.isnan(found[column]).sum())
        if unknown == len(matcher.species):
            raise InputError(f"{config.file}: column {column} has no value for any species of the map")
        if unknown:
            say(f"  {config.file}: {unknown} of {len(matcher.species)} species of the map have no {column}")
    return found


def read_ranges(config: RangesConfig, matcher: SpeciesMatcher) -> NDArray[np.float64]:
    """Range of each species of a map, km2, NaN where unknown, (S,).

    Raises:
        InputError: the table cannot be read, names none of the species, or an area is not positive.
    """
    table, number = _rows(config, [config.column], matcher)
    areas = numbers(table, config.column, config.file, config.format.decimal)
    wrong = (areas <= 0).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{config.file}: column {config.column}, row {row + 1} holds {areas.iloc[row]:g}, expected km2"
        )
    return _by_species(areas, number, len(matcher.species))


def read_list(name: str, config: ListConfig, matcher: SpeciesMatcher) -> NDArray[np.bool_]:
    """Which species of a map a list names, (S,).

    Raises:
        InputError: its table cannot be read, or it names none of the species.
    """
    if config.species is not None:
        names, where = config.species, f"lists: {name}"
    else:
        assert config.file is not None
        rows = read_table(config.file, [config.column], form=config.format)
        names, where = texts(rows[config.column]).dropna().unique().tolist(), config.file
    number = matcher.matched(names, where)
    return np.isin(np.arange(len(matcher.species)), number)


def _rows(
    config: SpeciesTable, columns: Sequence[str], matcher: SpeciesMatcher
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """The rows of a table, and the number in the map of the species of each, -1 where it has none."""
    table = read_table(config.file, [config.species, *columns], form=config.format)
    names = texts(table[config.species])
    distinct = names.dropna().unique().tolist()
    number = dict(zip(distinct, matcher.matched(distinct, config.file), strict=True))
    return table, names.map(number).fillna(-1).to_numpy(np.int64)


def _by_species(values: pd.Series, number: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    known = (number >= 0) & values.notna().to_numpy()
    means = values[known].groupby(number[known]).mean()
    return means.reindex(range(count)).to_numpy(np.float64)
