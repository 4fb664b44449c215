"""Distribution and range of species in the 10-km cells of the EEA reference grid, for reports by Article 17.

Article 17 is that of the Habitats Directive. The distribution of a species is the 10-km cells in which it reaches its
threshold in at least `min_cells` cells of the map. Its range is the distribution with gaps closed: two cells of the
distribution whose centres are nearer to each other than the gap distance are joined, and the cells whose interior the
straight line between the centres crosses belong to the range (DG Environment 2023, Reporting under Article 17 of the
Habitats Directive: Guidelines on concepts and definitions, reporting period 2019-2024; lines as in its range tool).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from sdm_ray.errors import InputError, few
from sdm_ray.evaluation.thresholds import read_thresholds
from sdm_ray.geo.codes import eea_code
from sdm_ray.geo.grid import Grid, grid_of
from sdm_ray.geo.windows import Window, whole
from sdm_ray.job import Job
from sdm_ray.mapping.config import ExportConfig
from sdm_ray.mapping.sensitive import PublishedMap, publishable
from sdm_ray.metrics.probability_kind import require_levels
from sdm_ray.plots.maps import map_picture
from sdm_ray.progress import say, track
from sdm_ray.stores.artefact import read_record, write_sources
from sdm_ray.stores.geoparquet import write_geoparquet
from sdm_ray.stores.maps import SPECIES_CHUNK, Map

SIDE = 10_000.0
_KM2 = SIDE**2 / 1e6


@dataclass(frozen=True)
class Reference:
    """The 10-km cells under a map.

    Attributes:
        grid: of these cells.
        mapped: whether a cell holds any cell of the map with a value, (height, width).
        above: cells of the map that reach the threshold, (S, height, width).
        highest: largest probability in each, NaN where none is mapped, (S, height, width).
    """

    grid: Grid
    mapped: NDArray[np.bool_]
    above: NDArray[np.int32]
    highest: NDArray[np.float32]


def run(config: ExportConfig, job: Job) -> dict[str, Any]:
    """Write `cells.csv`, `cells.parquet` (GeoParquet), `ranges.csv` and, with `pictures`, `species_per_cell.png`.

    Raises:
        InputError: cells of the map are no parts of 10-km cells, suitabilities are relative and no threshold is named,
            or a species or threshold is not found.
    """
    source = PublishedMap(config.path(config.map), sensitive=config.sensitive, scenario=config.scenario)
    settings = config.article17
    step = source.grid.resolution
    if SIDE % step:
        raise InputError(f"{source.path}: cells of {step:g} m are no parts of 10-km cells; expected 100, 1000, ...")
    chosen = publishable(source, config.species)
    names = [str(source.species["name"][number]) for number in chosen]
    cuts = thresholds(config, source, names)
    rows, ranges, count = [], [], 0
    groups = [slice(start, start + SPECIES_CHUNK) for start in range(0, len(chosen), SPECIES_CHUNK)]
    grid = grid_of(source.grid.bounds, SIDE)
    codes = cell_codes(grid)
    for group in track(groups, len(groups), "export: 10-km cells"):
        cells = read_cells(source, chosen[group], cuts[group], applicable_only=settings.applicable_only)
        present = cells.above >= settings.min_cells
        closed = close_gaps(present, settings.gap_km * 1000 / SIDE)
        closed &= cells.mapped | present if settings.clip else True
        count = count + present.sum(axis=0)
        for number, name in enumerate(names[group]):
            rows.append(_rows(name, cells, number, (present[number], closed[number], codes)))
            ranges.append((name, cuts[group][number], int(present[number].sum()), int(closed[number].sum())))
    table = pd.concat(rows, ignore_index=True)
    sources = read_record(source.path).sources
    corner = table.pop("west").to_numpy(), table.pop("south").to_numpy()
    (job.output / "cells.csv").write_text(table.to_csv(index=False))
    shapes = shapely.box(*corner, corner[0] + SIDE, corner[1] + SIDE)
    write_geoparquet(job.output / "cells.parquet", table, shapes, sources)
    found = _range_table(ranges, settings.gap_km)
    (job.output / "ranges.csv").write_text(found.to_csv(index=False))
    write_sources(job.output, sources)
    if config.pictures:
        shown = np.where(count > 0, count, np.nan).astype(np.float32)
        picture = map_picture(shown, "Species in 10-km cells", "species", extent=grid.bounds)
        (job.output / "species_per_cell.png").write_bytes(picture)
    say(f"export: {len(names)} species, {len(table)} rows of species and 10-km cell; {job.output / 'ranges.csv'}")
    return {"species": len(names), "rows": len(table), "gap_km": settings.gap_km}


def thresholds(config: ExportConfig, source: Map, names: Sequence[str]) -> NDArray[np.float32]:
    """Threshold of each species, NaN where it has none, (S,).

    Raises:
        InputError: a number is asked for of relative suitabilities, or the evaluation has no threshold of that name.
    """
    settings = config.article17
    if isinstance(settings.threshold, float | int):
        advice = "; expected the name of a threshold, and `article17.evaluation`"
        require_levels(f"{source.path}: article17.threshold", source.probability_kind, advice=advice)
        return np.full(len(names), settings.threshold, np.float32)
    assert settings.evaluation is not None
    table = read_thresholds(config.path(settings.evaluation), names)
    if settings.threshold not in table:
        found = few([str(name) for name in table])
        raise InputError(f"article17.threshold: {settings.evaluation} has no {settings.threshold!r}; found {found}")
    return table[settings.threshold].to_numpy(np.float32)


def cell_codes(grid: Grid) -> NDArray[Any]:
    """Code of each cell, such as `10kmE432N321`, (height, width)."""
    codes = [[eea_code(x, y, SIDE) for x in grid.x] for y in grid.y]
    return np.array(codes, dtype=object)


def read_cells(
    source: Map, numbers: Sequence[int], cuts: NDArray[np.float32], *, applicable_only: bool = False
) -> Reference:
    """Count the map's cells with each of some species in 10-km cells; memory holds a row of tiles.

    Args:
        source: the map.
        numbers: of the species.
        cuts: threshold of each, (S,).
        applicable_only: whether cells outside the area of applicability count as without a value.

    Raises:
        InputError: the map has no area of applicability.
    """
    grid = grid_of(source.grid.bounds, SIDE)
    mapped, shape = np.zeros(grid.shape, bool), (len(numbers), *grid.shape)
    above, highest = np.zeros(shape, np.int32), np.full(shape, np.nan, np.float32)
    low, chosen = min(numbers), np.array(numbers) - min(numbers)
    for window in whole(source.grid).parts(source.tile, source.grid.width):
        values = source.read(window, slice(low, max(numbers) + 1))[chosen]
        if applicable_only:
            values[:, source.layer("inside_aoa", window) != 1] = np.nan
        rows, cols = _groups(source.grid, grid, window)
        at = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
        starts = [np.flatnonzero(np.diff(each, prepend=-1)) for each in (rows, cols)]
        above[:, *at] += _reduced(np.add, (values >= cuts[:, None, None]).astype(np.int32), starts)
        highest[:, *at] = np.fmax(highest[:, *at], _reduced(np.fmax, values, starts))
        mapped[at] |= _reduced(np.logical_or, np.isfinite(values[0]), starts)
    return Reference(grid, mapped, above, highest)


def _groups(inner: Grid, outer: Grid, window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of the coarse cell of each row and column of a window."""
    x, y = inner.x[window.slices[1]], inner.y[window.slices[0]]
    rows, _ = outer.cell(np.full(len(y), outer.x[0]), y)
    _, cols = outer.cell(x, np.full(len(x), outer.y[0]))
    return rows, cols


def _reduced(reduce: np.ufunc, values: NDArray[Any], starts: Sequence[NDArray[np.int64]]) -> NDArray[Any]:
    """Values of each block that begins at the given rows and columns, the last two axes."""
    return np.asarray(reduce.reduceat(reduce.reduceat(values, starts[0], axis=-2), starts[1], axis=-1))


def close_gaps(present: NDArray[np.bool_], gap: float) -> NDArray[np.bool_]:
    """Ranges: cells between any two of a distribution that are nearer than the gap distance.

    Args:
        present: distributions, (..., height, width).
        gap: in cells, between centres.
    """
    found = present.copy()
    height, width = present.shape[-2:]
    reach = int(np.ceil(gap))
    for row in range(reach + 1):
        for col in range(-reach, reach + 1):
            if not 0 < np.hypot(row, col) < gap or (row == 0 and col < 0) or row >= height or abs(col) >= width:
                continue
            # cells (r, c) and (r + row, c + col): windows of the array that lie so to each other
            near = slice(0, height - row), slice(max(0, -col), width - max(0, col))
            both = present[..., *near] & present[..., row:, max(0, col) : width - max(0, -col)]
            for down, right in crossed(row, col):
                at = slice(down, height - row + down), slice(near[1].start + right, near[1].stop + right)
                found[..., *at] |= both
    return found


@cache
def crossed(row: int, col: int) -> tuple[tuple[int, int], ...]:
    """Cells between the ends of a line from the centre of (0, 0) to that of (row, col), whose interior it crosses."""
    edges = {0.0, 1.0}
    for distance in (abs(row), abs(col)):
        edges |= {(step + 0.5) / distance for step in range(distance)}
    ordered = sorted(edges)
    middles = [(start + end) / 2 for start, end in pairwise(ordered) if end - start > 1e-9]
    cells = {(round(row * middle), round(col * middle)) for middle in middles}
    return tuple(sorted(cells - {(0, 0), (row, col)}))


def _rows(
    name: str, cells: Reference, number: int, of: tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[Any]]
) -> pd.DataFrame:
    """Rows of one species: the cells of its range, and whether they are of its distribution."""
    present, closed, codes = of
    row, col = np.nonzero(closed)
    x, y = cells.grid.centre(row, col)
    return pd.DataFrame({
        "species": name,
        "cell": codes[row, col],
        "status": np.where(present[row, col], "distribution", "gap"),
        "map_cells": cells.above[number, row, col],
        "highest_probability": cells.highest[number, row, col].round(4),
        "west": x - SIDE / 2,
        "south": y - SIDE / 2,
    })  # fmt: skip


def _range_table(rows: Sequence[tuple[str, float, int, int]], gap_km: float) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["species", "threshold", "distribution_cells", "range_cells"])
    table.insert(3, "distribution_km2", table["distribution_cells"] * _KM2)
    table["range_km2"] = table["range_cells"] * _KM2
    none = table["threshold"].isna()
    table[table.columns[2:]] = table[table.columns[2:]].where(~none)  # without a threshold there is no distribution
    return table.assign(gap_km=gap_km)
