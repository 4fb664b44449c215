"""The finest detail that a map can show, whatever the size of its cells."""

from sdm_ray.model_io import SpeciesFolder
from sdm_ray.models.config import LocationConfig
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.cube import Cube

_HALF_EQUATOR_M = 20_000_000.0
_CAPSULES_M = 34_000.0  # half the wavelength of GeoCLIP's finest features: sigma 256, 6,371 km x 180 / 66.5 a unit


def effective_resolution(
    resolution_m: float, model: SpeciesFolder, covariates: Covariates | None, cube: Cube | None
) -> float | None:
    """The finest detail of any input of a model, metres, and never finer than a cell.

    Args:
        resolution_m: side of the map's cells.
        model: the model's description.
        covariates: that it is given, if any.
        cube: that it is given, if any.

    Returns:
        None where no input says where a cell lies.
    """
    finest = []
    if model.config.location is not None:
        finest += [detail(each) for each in (model.config.location, *model.config.frozen_location_features)]
        finest += [resolution_m] if model.forest else []  # a tree splits at any coordinate
    if model.config.nearby_images is not None:
        finest.append(1000 * min(model.config.nearby_images.ranges_km))
    if covariates is not None:
        finest.append(max(covariates.effective_resolution_m, covariates.grid.resolution))
    if cube is not None:
        finest.append(cube.grid.resolution)
    return max(resolution_m, min(finest)) if finest else None


def detail(location: LocationConfig) -> float:
    """The finest detail of a location encoder's features, metres: half their shortest wavelength, or a cell."""
    match location.kind:
        case "ladder":
            return min(location.wavelengths_km) * 500
        case "hashgrid":
            return min(location.wavelengths_km) * 1000
        case "harmonics":
            return _HALF_EQUATOR_M / location.degrees
        case "capsules":
            return _CAPSULES_M
        case "sincos":
            return _HALF_EQUATOR_M / 2  # one wave from pole to pole
