"""Intervals of countries' richness and species' areas from joint draws, in a pass over the map of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import ray
from numpy.typing import NDArray
from scipy.sparse import csr_array
from upath import UPath

from sdm_ray.geo.windows import Tile, Window, tiles
from sdm_ray.indicators.config import IndicatorsConfig
from sdm_ray.indicators.error_model import ErrorModel, read_error_model
from sdm_ray.indicators.joint_draws import JointDraws
from sdm_ray.mapping.all_tiles import do_all
from sdm_ray.mapping.region_mask import offset
from sdm_ray.stores.land import Land
from sdm_ray.stores.maps import Map

_PART = 128  # cells along the side of what is read at once
_DRAWS, _LEVEL = 100, 0.9
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """What every tile needs.

    Attributes:
        map: the map.
        land: the land store.
        model: of the errors of the map's species.
        draws: how many.
        seed: of the draws.
        scenario: of a map with several.
    """

    map: str
    land: str
    model: ErrorModel
    draws: int
    seed: int
    scenario: str | None = None


@dataclass(frozen=True)
class DrawnSums:
    """Sums over cells: of countries and of species.

    Attributes:
        cells: with values, (C,).
        richness: sum of probabilities, (C,).
        richness_draws: (C, D).
        area: sum of each species' probabilities, (S,).
        area_draws: (S, D).
    """

    cells: Floats
    richness: Floats
    richness_draws: Floats
    area: Floats
    area_draws: Floats

    @classmethod
    def zero(cls, countries: int, species: int, draws: int) -> "DrawnSums":
        """Of no cells."""
        shapes: list[tuple[int, ...]] = [(countries,), (countries,), (countries, draws), (species,), (species, draws)]
        return cls(*(np.zeros(shape) for shape in shapes))

    def add(self, other: "DrawnSums") -> None:
        """Add the sums of more cells."""
        for name in self.__dataclass_fields__:
            own = getattr(self, name)
            own += getattr(other, name)


def write_intervals(output: UPath, config: IndicatorsConfig, found: Map, shown: NDArray[np.bool_]) -> None:
    """Write `intervals.csv`: a row for each country and species with its figure and 90 % interval.

    Args:
        output: of the job.
        config: of the job, with `errors`.
        found: the map.
        shown: which species may be in the table, (S,).

    Raises:
        InputError: the error model does not know the map's species, or a tile failed.
    """
    names, place = found.species["name"].tolist(), config.path(config.errors or "")
    model = read_error_model(place)[0].select(names, str(place))
    land = config.path(config.land)
    shared = [ray.put(Task(str(found.path), str(land), model, _DRAWS, config.seed, found.scenario))]
    todo = tiles(found.grid, found.tile)
    countries = Land(land).countries
    total = DrawnSums.zero(len(countries), len(names), _DRAWS)
    for each in do_all(_do_tile, shared, todo, config.compute, name="intervals", place=output):
        total.add(each)
    total = replace(total, area=total.area[shown], area_draws=total.area_draws[shown])
    names = [name for name, each in zip(names, shown, strict=True) if each]
    table = interval_table(total, countries, names, _LEVEL, found.grid.resolution**2 / 1e6)
    (output / "intervals.csv").write_text(table.to_csv(index=False, float_format="%.6g"))


def interval_table(
    sums: DrawnSums, countries: Sequence[str], species: Sequence[str], level: float, cell_km2: float
) -> pd.DataFrame:
    """Rows `of, name, figure, value, low, high`: mean richness of countries with cells, expected area of species.

    Args:
        sums: over all cells.
        countries: names, (C,).
        species: names, (S,).
        level: of the intervals.
        cell_km2: area of a cell.
    """
    tails = [(1 - level) / 2, (1 + level) / 2]
    rows = []
    for number in np.flatnonzero(sums.cells > 0).tolist():
        low, high = np.quantile(sums.richness_draws[number] / sums.cells[number], tails)
        name, mean = countries[number] or "(none)", sums.richness[number] / sums.cells[number]
        rows.append(("country", name, "mean_richness", mean, low, high))
    for name, value, drawn in zip(species, sums.area, sums.area_draws, strict=True):
        low, high = np.quantile(drawn * cell_km2, tails)
        rows.append(("species", name, "expected_area_km2", value * cell_km2, low, high))
    return pd.DataFrame(rows, columns=["of", "name", "figure", "value", "low", "high"])


def _do_tile(shared: Sequence[Any], tile: Tile) -> DrawnSums:
    return tile_draws(ray.get(shared[0]), tile.window)


def tile_draws(task: Task, window: Window) -> DrawnSums:
    """Sums of a window's cells, which do not depend on how it is cut."""
    found, land = Map(UPath(task.map), scenario=task.scenario), Land(UPath(task.land))
    draws = JointDraws(task.model, task.draws, task.seed)
    shift, species = offset(land.grid, found.grid), slice(0, len(found.species))
    total = DrawnSums.zero(len(land.countries), len(found.species), task.draws)
    for part in window.parts(_PART, _PART):
        probability = found.read(part)
        known = np.flatnonzero(~np.isnan(probability[0]))
        if not len(known):
            continue
        p = np.ascontiguousarray(probability.reshape(len(probability), -1)[:, known])
        country = land.country(part.shifted(*shift)).ravel()[known]
        ones, number = np.ones(len(known), np.float32), np.arange(len(known))
        weights = csr_array((ones, (country, number)), shape=(len(land.countries), len(known)))
        rows, cols = np.divmod(known, part.width)
        x, y = found.grid.centre(rows + part.row, cols + part.col)
        here = DrawnSums(
            np.asarray(weights.sum(axis=1), np.float64),
            weights @ p.sum(axis=0, dtype=np.float64),
            np.zeros_like(total.richness_draws),
            p.sum(axis=1, dtype=np.float64),
            np.zeros_like(total.area_draws),
        )
        for q, area in zip(draws.probabilities(x, y, p, species), here.area_draws, strict=True):
            here.richness_draws[...] += weights @ q
            area[...] = q.sum(axis=0)
        total.add(here)
    return total
