"""The cells of a map that may be surveyed: their covariates, the model's uncertainty there, and what a survey costs."""

from dataclasses import dataclass

import numpy as np
import rasterio
import shapely
from rasterio.vrt import WarpedVRT

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import CRS, to_xy
from sdm_ray.mapping import aoa_setup
from sdm_ray.mapping.aoa import Applicability
from sdm_ray.mapping.aoa_config import ApplicabilityConfig
from sdm_ray.mapping.config import MapConfig
from sdm_ray.mapping.quality_layers import COVARIATES
from sdm_ray.model_io import read_species_folder
from sdm_ray.progress import say
from sdm_ray.readers.polygons import outline
from sdm_ray.stores.artefact import read_record
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.maps import Map
from sdm_ray.stores.surveys import read_surveys
from sdm_ray.survey_design.choice import entropy, variance
from sdm_ray.survey_design.config import SampleConfig

_VALUES = 20_000_000  # probabilities held at once


@dataclass(frozen=True)
class Study:
    """A map with its model's covariates and surveys.

    Attributes:
        map: the map.
        covariates: of its model.
        applicability: dissimilarity to its surveys.
        surveys: metres east and north of the surveys, (R, 2).
    """

    map: Map
    covariates: Covariates
    applicability: Applicability
    surveys: np.ndarray


@dataclass(frozen=True)
class Cells:
    """Cells that may be surveyed.

    Attributes:
        xy: metres east and north of their centres, (N, 2).
        values: covariates, all known, (N, C).
        uncertainty: of the model, (N,).
        cost: of a survey, (N,).
    """

    xy: np.ndarray
    values: np.ndarray
    uncertainty: np.ndarray
    cost: np.ndarray


def read_study(config: SampleConfig) -> Study:
    """Open what the map was made from.

    Raises:
        InputError: the map says no surveys or covariates, or an input was made anew since.
    """
    place = config.path(config.map)
    record = read_record(place)
    known = {name: value for name, value in record.config.items() if name in MapConfig.model_fields}
    settings = MapConfig.model_validate(
        {**known, "applicability": None, "run_dir": config.run_dir, "seed": config.seed}
    )
    if settings.surveys is None or settings.covariates is None:
        lacking = "surveys" if settings.surveys is None else "covariates"
        raise InputError(f"{place}: was made without {lacking}; expected a map with `surveys` and `covariates`")
    for name in (settings.model, settings.covariates, settings.surveys):
        if read_record(config.path(name)).fingerprint != record.inputs.get(name):
            raise InputError(f"{config.path(name)}: is not what {place} was made from; make the map again")
    model = read_species_folder(config.path(settings.model))
    store = Covariates(config.path(settings.covariates)).select(model.config.covariates)
    applicability = aoa_setup.find(settings, ApplicabilityConfig(weights=config.weights), model, store)
    surveys, _ = read_surveys(config.path(settings.surveys))
    xy = np.column_stack(to_xy(surveys["lon"].to_numpy(), surveys["lat"].to_numpy()))
    return Study(Map(place), store, applicability, xy)


def read_cells(config: SampleConfig, study: Study) -> Cells:
    """Cells that may be surveyed: those of the map whose covariates are known, within the polygons, of a known cost.

    Raises:
        InputError: no cell may be surveyed, or the map lacks the layer of the uncertainty.
    """
    found, grid = study.map, study.map.grid
    rows, cols = np.nonzero(found.layer("inputs") & COVARIATES)
    xy = np.column_stack(grid.centre(rows, cols))
    if config.within is not None:
        area = outline(config.within)
        shapely.prepare(area)
        inside = shapely.contains_xy(area, *xy.T)
        rows, cols, xy = rows[inside], cols[inside], xy[inside]
    cost = np.ones(len(xy)) if config.cost is None else costs(config.cost, xy)
    payable = np.flatnonzero(np.isfinite(cost))
    if config.cost is not None:
        say(f"sample: {len(xy) - len(payable)} of {len(xy)} cells have no cost and are left out")
    if not len(payable):
        raise InputError(f"{found.path}: no cell may be surveyed: none has covariates, lies within and has a cost")
    chosen = np.random.default_rng(config.seed).permutation(payable)[: config.candidates]
    chosen = np.sort(chosen)
    say(f"sample: {len(chosen)} of {len(payable)} cells are compared")
    values, known = study.covariates.at(*xy[chosen].T)
    complete = known.all(axis=1)  # a model may take partly known covariates; distances cannot
    chosen, values = chosen[complete], values[complete]
    unsure = uncertainty(config, found, rows[chosen], cols[chosen])
    return Cells(xy[chosen], values, unsure, cost[chosen])


def uncertainty(config: SampleConfig, source: Map, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """The model's uncertainty at cells, (N,)."""
    if config.uncertainty == "none":
        return np.ones(len(rows))
    if config.uncertainty == "spread":
        if "probability_spread" not in source.layers():
            raise InputError(f"{source.path}: has no layer probability_spread; expected a map with `spread: true`")
        return np.nan_to_num(source.layer("probability_spread")[rows, cols])
    measure = entropy if config.uncertainty == "entropy" else variance
    step = max(1, _VALUES // len(source.species))
    parts = [slice(start, start + step) for start in range(0, len(rows), step)]
    return np.concatenate([measure(source.read_cells(rows[part], cols[part])) for part in parts])


def costs(file: str, xy: np.ndarray) -> np.ndarray:
    """Cost of a survey at places in metres, float64 (N,), NaN where the raster has none.

    Raises:
        InputError: the file cannot be read, has no projection, or has a cost of 0 or less.
    """
    try:
        source = rasterio.open(file)
    except rasterio.errors.RasterioIOError as error:
        raise InputError(f"cost: {file}: cannot be read ({str(error).splitlines()[0]})") from None
    with source:
        if source.crs is None:
            raise InputError(f"cost: {file}: has no projection (CRS), so its place is not known")
        with WarpedVRT(source, crs=CRS) as grid:
            sampled = [values[0] for values in grid.sample(xy, masked=True)]
    found = np.ma.filled(np.ma.array(sampled, dtype=np.float64), np.nan)
    if (found <= 0).any():
        x, y = xy[np.flatnonzero(found <= 0)[0]]
        raise InputError(f"cost: {file}: is {np.nanmin(found):g} at {x:.0f}, {y:.0f} (EPSG:3035); expected above 0")
    return np.asarray(found)
