"""Reading of surveys, of maps and covariates at surveys, and of the truth."""

from collections.abc import Mapping

import numpy as np
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.evaluation.scores import HeldOutSurveys
from sdm_ray.geo.blocks import Blocks, block_id
from sdm_ray.geo.grid import to_xy
from sdm_ray.metrics.ranking import spearman
from sdm_ray.stores import raster
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.land import Land
from sdm_ray.stores.maps import Map
from sdm_ray.stores.surveys import countries_named, labels_of, read_kind, read_surveys


def read_held_out(path: UPath, species: list[str], blocks: Blocks, land: UPath | None) -> tuple[HeldOutSurveys, int]:
    """Surveys with labels of some species.

    Args:
        path: of surveys.parquet.
        species: names, in the order of the labels.
        blocks: how places are held out.
        land: store of countries, for surveys that name none, and for the spelling of those that are named.

    Returns:
        The surveys, and the number of species in their table that are not among `species`.

    Raises:
        InputError: the table cannot be used or lacks one of the species.
    """
    frame, table = read_surveys(path)
    column = {str(name): number for number, name in enumerate(table["name"])}
    unknown = [name for name in species if name not in column]
    if unknown:
        raise InputError(f"{path}: has no species {unknown[0]!r} ({len(unknown)} of {len(species)} are missing)")
    labels = labels_of(frame, table).dense(np.arange(len(frame)))[:, [column[name] for name in species]]
    lon, lat = frame["lon"].to_numpy(np.float64), frame["lat"].to_numpy(np.float64)
    x, y = to_xy(lon, lat)
    country = countries_named(frame)
    if land is not None:
        store = Land(land)
        country = np.array(store.countries)[store.countries_of(x, y, country)]
    surveys = HeldOutSurveys(labels, species, lon, lat, x, y, block_id(x, y, blocks), country, read_kind(path))
    return surveys, len(table) - len(species)


def covariates_at(path: UPath, surveys: HeldOutSurveys) -> np.ndarray:
    """Covariates (N, C) of the surveys, NaN where they are unknown."""
    values, known = Covariates(path).at(surveys.x, surveys.y)
    return np.where(known, values, np.float32(np.nan))


def map_species(path: UPath) -> list[str]:
    """Names of a map's species."""
    return Map(path).species["name"].tolist()


def map_at(path: UPath, x: np.ndarray, y: np.ndarray, species: list[str]) -> np.ndarray:
    """Values of a map at points.

    Returns:
        (N, S) float32 in the order of `species`, NaN where the map has no value.

    Raises:
        InputError: the map lacks a species.
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
    truth: UPath, compared: Mapping[str, UPath], surveys: HeldOutSurveys, cells: int, seed: int
) -> tuple[dict[str, np.ndarray], int]:
    """Spearman's rank correlation of maps with the truth on cells without surveys.

    Args:
        truth: store of true probabilities.
        compared: label -> map.
        surveys: the surveys, whose cells are left out, and their species.
        cells: most cells to use; a random sample is taken of more.
        seed: of the sample.

    Returns:
        Label -> (S,), and the number of cells.

    Raises:
        InputError: a species is missing, or no cell is left.
    """
    data = raster.open_dataset(truth / "0")
    columns = _columns(truth, [str(name) for name in data["species"].values], surveys.species)
    grid = raster.read_grid(raster.open_group(truth / "0"))
    true = data["probability"].values[columns].reshape(len(columns), -1)
    free = np.isfinite(true).all(axis=0)
    surveyed = grid.index(surveys.x, surveys.y)
    free[surveyed[surveyed >= 0]] = False
    chosen = np.sort(np.random.default_rng(seed).permutation(np.flatnonzero(free))[:cells])
    x, y = grid.centre(chosen // grid.width, chosen % grid.width)
    values = {label: map_at(path, x, y, surveys.species) for label, path in compared.items()}
    known = np.all([np.isfinite(each).all(axis=1) for each in values.values()], axis=0)
    if not known.any():
        raise InputError(f"{truth}: has no cell without surveys where every compared map has a value")
    true = true[:, chosen[known]]
    return {label: spearman(each[known].T, true) for label, each in values.items()}, int(known.sum())
