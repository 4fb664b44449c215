"""Outcomes by unit and year, from a long table, from columns of the units, or from maps."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdm_ray.errors import InputError, few
from sdm_ray.impact.config import ImpactConfig
from sdm_ray.impact.units import Units, years
from sdm_ray.readers.tables import numbers, read_table, texts

_LEAST_DRAWS = 5


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of all units.

    Attributes:
        years: ascending, (T,).
        values: outcome -> values, NaN where not known, (N, T).
        truth: outcome -> true values, where they are known, (N, T).
        draws: outcome -> joint draws that carry its error, (D, N, T); empty where there are none.
        from_maps: whether they were predicted by a model.
        notes: what was found that a reader should know, with counts.
    """

    years: NDArray[np.float64]
    values: dict[str, NDArray[np.float64]]
    draws: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    truth: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    from_maps: bool = False
    notes: list[str] = field(default_factory=list)


def read_outcomes(config: ImpactConfig, units: Units) -> Outcomes:
    """Read the outcomes.

    Raises:
        InputError: a table or map cannot be used, or holds none of the units.
    """
    if config.outcome.table is not None:
        return _from_table(config, units)
    if config.outcome.columns:
        return _from_columns(config, units)
    from sdm_ray.impact.map_outcomes import from_maps  # its stores are not light

    return from_maps(config, units)


def _from_columns(config: ImpactConfig, units: Units) -> Outcomes:
    every = sorted({year for columns in config.outcome.columns.values() for year in columns})
    values = {}
    for name, columns in config.outcome.columns.items():
        values[name] = np.full((len(units.ids), len(every)), np.nan)
        for year, column in columns.items():
            values[name][:, every.index(year)] = numbers(
                units.table, column, config.units, config.format.decimal
            ).to_numpy()
    return Outcomes(np.array(every, np.float64), values)


def _from_table(config: ImpactConfig, units: Units) -> Outcomes:
    settings = config.outcome
    path = str(settings.table)
    extra = [] if settings.draw is None else [settings.draw]
    needed = list(dict.fromkeys([settings.id, settings.year, *extra, *settings.values]))
    table = read_table(path, needed, form=settings.format)
    ids, year = texts(table[settings.id]).astype(str).to_numpy(str), years(table[settings.year], path)
    draw = np.zeros(len(table), np.int64)
    if settings.draw is not None:
        draw = numbers(table, settings.draw, path).fillna(-1).to_numpy(np.int64)
    order = np.argsort(units.ids)
    place = np.clip(np.searchsorted(units.ids, ids, sorter=order), 0, len(units.ids) - 1)
    unit = np.where(units.ids[order[place]] == ids, order[place], -1)
    unknown = np.unique(ids[unit < 0])
    notes = []
    if (unit < 0).all():
        raise InputError(f"{path}: none of its units, such as {str(ids[0])!r}, is in {config.units}")
    if len(unknown):
        notes.append(f"{len(unknown)} units of {path} are not among the units, such as {few(unknown.tolist(), 3)}")
    if undated := int((~np.isfinite(year)).sum()):
        notes.append(f"{undated} rows of {path} have no {settings.year} and do not count")
    keep = (unit >= 0) & np.isfinite(year) & (draw >= 0)
    _require_single(pd.DataFrame({"unit": ids, "year": year, "draw": draw})[keep], path)
    every, column = np.unique(year[keep], return_inverse=True)
    kinds, layer = np.unique(draw[keep], return_inverse=True)
    _check_draws(kinds, path, settings.draw)
    values, draws = {}, {}
    for name in settings.values:
        cube = np.full((len(kinds), len(units.ids), len(every)), np.nan)
        cube[layer, unit[keep], column] = numbers(table, name, path, settings.format.decimal).to_numpy()[keep]
        values[name] = cube[0]
        if len(kinds) > 1:
            draws[name] = whole_draws(f"{path}: column {name}", cube[0], cube[1:])
    return Outcomes(every, values, draws, notes=notes)


def _require_single(rows: pd.DataFrame, path: str) -> None:
    twice = rows.duplicated()
    if twice.any():
        row = rows[twice].iloc[0]
        raise InputError(
            f"{path}: unit {row['unit']} has two rows for year {row['year']:g} ({int(twice.sum())} such rows), expected"
            " one; name the column of joint draws as outcome.draw if these are draws"
        )


def _check_draws(kinds: NDArray[np.int64], path: str, column: str | None) -> None:
    if column is None:
        return
    if kinds[0] != 0 or len(kinds) <= _LEAST_DRAWS:
        raise InputError(
            f"{path}: column {column} holds {len(kinds)} draws from {kinds[0]}, expected 0 for the estimate and"
            f" {_LEAST_DRAWS} or more joint draws from 1"
        )


def whole_draws(where: str, values: NDArray[np.float64], draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """Joint draws of an outcome where it is known, NaN elsewhere, (D, N, T); they have to be known there.

    Args:
        where: the draws come from, at the start of a message.
        values: of the outcome, NaN where not known, (N, T).
        draws: (D, N, T).

    Raises:
        InputError: a draw lacks a value, which would be taken for a draw of no effect.
    """
    known = np.isfinite(values)
    if gaps := int((known & ~np.isfinite(draws)).sum()):
        raise InputError(f"{where}: {gaps} values are missing in joint draws, expected all {int(known.sum())} in each")
    return np.where(known, draws, np.nan)
