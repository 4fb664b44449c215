"""Tables of a whole map: richness by country, and the expected area of each species."""

import csv
import io
from collections.abc import Sequence

import numpy as np
from upath import UPath

from sdm_ray.geo.grid import Grid


def sums_by_country(country: np.ndarray, richness: np.ndarray, variance: np.ndarray, count: int) -> np.ndarray:
    """Sums over the cells of each country.

    Args:
        country: number of each cell's country, (N,).
        richness: (N,).
        variance: of the number of species, (N,).
        count: number of countries, with number 0.

    Returns:
        Cells, sum of richness, sum of its squares, sum of variances, float64 (count, 4).
    """
    wide = richness.astype(np.float64)
    weights = (np.ones_like(wide), wide, wide**2, variance.astype(np.float64))
    return np.column_stack([np.bincount(country, each, minlength=count) for each in weights])


def write_countries(place: UPath, countries: Sequence[str], sums: np.ndarray, grid: Grid) -> None:
    """Cells of EPSG:3035 have equal areas, so that a plain mean over cells is weighted by area."""
    rows: list[Sequence[object]] = [
        ("country", "cells", "area_km2", "mean_richness", "sd_between_cells", "sd_within_cell")
    ]
    for name, (cells, richness, squares, variance) in zip(countries, sums, strict=True):
        if cells:
            mean = richness / cells
            between = np.sqrt(max(squares / cells - mean**2, 0))
            area = cells * grid.resolution**2 / 1e6
            figures = (f"{mean:.4f}", f"{between:.4f}", f"{np.sqrt(variance / cells):.4f}")
            rows.append((name or "(none)", int(cells), f"{area:.2f}", *figures))
    _write_csv(place, rows)


def write_species(place: UPath, names: Sequence[str], sums: np.ndarray, cells: int, grid: Grid) -> None:
    """Expected area of each species: the sum of its unrounded probabilities times the area of a cell.

    Args:
        place: the file.
        names: of the species, (S,).
        sums: of their probabilities over all cells, (S,).
        cells: number of cells with values.
        grid: of the map.
    """
    rows: list[Sequence[object]] = [("species", "expected_area_km2", "mean_probability")]
    for name, total in zip(names, sums, strict=True):
        rows.append((name, f"{total * grid.resolution**2 / 1e6:.3f}", f"{total / cells:.6f}"))
    _write_csv(place, rows)


def _write_csv(place: UPath, rows: Sequence[Sequence[object]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    place.write_text(text.getvalue())
