"""What `evaluate` reads: surveys, maps at their cells, covariates, the truth."""

from collections.abc import Mapping

import numpy as np
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.evaluation.scores import Held
from sdm_ray.geo.blocks import Blocks, block_id
from sdm_ray.geo.grid import to_xy
from sdm_ray.metrics.ranking import spearman
from sdm_ray.stores import raster
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.land import Land
from sdm_ray.stores.maps import Map
from sdm_ray.stores.surveys import countries_named, labels_of, read_kind, read_surveys


def read_held(path: UPath, species: list[str], blocks: Blocks, land: UPath | None) -> tuple[Held, int]:
    """The surveys with the labels of some species.

    Args:
        path: of surveys.parquet.
        species: names, in the order that labels are to have.
        blocks: how places are held out.
        land: store of countries, for surveys that name none, and its spelling of those that are named.

    Returns:
        The surveys, and how many species of their table are not among `species`.

    Raises:
        InputError: the table cannot be used or knows one of the species not.
    """
    surveys, table = read_surveys(path)
    column = {str(name): number for number, name in enumerate(table["name"])}
    unknown = [name for name in species if name not in column]
    if unknown:
        raise InputError(f"{path}: knows no species {unknown[0]!r} ({len(unknown)} of the map's {len(species)})")
    labels = labels_of(surveys, table).dense(np.arange(len(surveys)))[:, [column[name] for name in species]]
    lon, lat = surveys["lon"].to_numpy(np.float64), surveys["lat"].to_numpy(np.float64)
    x, y = to_xy(lon, lat)
    country = countries_named(surveys)
    if land is not None:
        store = Land(land)
        country = np.array(store.countries)[store.countries_of(x, y, country)]
    held = Held(labels, species, lon, lat, x, y, block_id(x, y, blocks), country, read_kind(path))
    return held, len(table) - len(species)


def covariates_at(path: UPath, held: Held) -> np.ndarray:
    """Covariates (N, C) of the surveys, NaN where they are not known."""
    values, known = Covariates(path).at(held.x, held.y)
    return np.where(known, values, np.float32(np.nan))


def map_species(path: UPath) -> list[str]:
    """Names of a map's species."""
    return Map(path).species["name"].tolist()


def map_at(path: UPath, x: np.ndarray, y: np.ndarray, species: list[str]) -> np.ndarray:
    """What a map says at points.

    Returns:
        (N, S) float32 in the order of `species`, NaN where the map has no value.

    Raises:
        InputError: a species is missing in the map.
    """
    store = Map(path)
    columns = _columns(path, store.species["name"].tolist(), species)
    row, col = store.grid.cell(x, y)
    inside = np.flatnonzero(store.grid.contains(row, col))
    found = np.full((len(x), len(species)), np.nan, np.float32)
    found[inside] = store.read_cells(row[inside], col[inside])[:, columns]
    return found


def _columns(path: UPath, names: list[str], species: list[str]) -> list[int]:
    place = {name: number for number, name in enumerate(names)}
    missing = [name for name in species if name not in place]
    if missing:
        raise InputError(f"{path}: lacks species {missing[0]!r} ({len(missing)} of {len(species)} are missing)")
    return [place[name] for name in species]


def truth_correlation(
    truth: UPath, compared: Mapping[str, UPath], held: Held, cells: int, seed: int
) -> tuple[dict[str, np.ndarray], int]:
    """Spearman rank correlation of maps with the truth on cells without surveys.

    Args:
        truth: store of true probabilities.
        compared: label -> map.
        held: the surveys, whose cells are left out, and their species.
        cells: most cells to use; where there are more, so many are drawn.
        seed: of the draw.

    Returns:
        Label -> (S,), and the number of cells.

    Raises:
        InputError: a species is missing, or no cell is left.
    """
    data = raster.open_dataset(truth / "0")
    columns = _columns(truth, [str(name) for name in data["species"].values], held.species)
    grid = raster.read_grid(raster.open_group(truth / "0"))
    true = data["probability"].values[columns].reshape(len(columns), -1)
    free = np.isfinite(true).all(axis=0)
    surveyed = grid.index(held.x, held.y)
    free[surveyed[surveyed >= 0]] = False
    chosen = np.sort(np.random.default_rng(seed).permutation(np.flatnonzero(free))[:cells])
    x, y = grid.centre(chosen // grid.width, chosen % grid.width)
    values = {label: map_at(path, x, y, held.species) for label, path in compared.items()}
    known = np.all([np.isfinite(each).all(axis=1) for each in values.values()], axis=0)
    if not known.any():
        raise InputError(f"{truth}: has no cell without surveys where every compared map has a value")
    true = true[:, chosen[known]]
    return {label: spearman(each[known].T, true) for label, each in values.items()}, int(known.sum())
