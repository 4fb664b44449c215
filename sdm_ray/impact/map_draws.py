"""Joint draws of parcels' outcomes from the error model of their maps.

Every draw holds all parcels and years, so that errors which neighbours, species or years share stay shared.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from upath import UPath

from sdm_ray.errors import InputError, few
from sdm_ray.impact.config import OutcomeConfig
from sdm_ray.indicators.error_model import read_error_model
from sdm_ray.indicators.joint_draws import JointDraws
from sdm_ray.stores import raster
from sdm_ray.stores.maps import Map

_ROWS = 2048  # cells whose draws are in memory at once
RICHNESS = "richness"


def draws_of_errors(
    maps: list[UPath], errors: UPath, settings: OutcomeConfig, shares: sparse.csr_matrix, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Draws of each layer's mean over the cells of each unit, (D, N, T).

    Args:
        maps: one for each year, on one grid.
        errors: artefact of `errors`.
        settings: layers, number of draws, and whether the years share their errors.
        shares: of each cell in each unit, (N, height * width).
        seed: of the draws.

    Raises:
        InputError: a layer is neither richness nor a species, or the errors are of other species.
    """
    model = read_error_model(errors)[0]
    years = []
    for number, place in enumerate(maps):
        if "probability" not in raster.open_group(place / "0"):
            raise InputError(f"{place}: holds no probabilities; expected maps with outcome.errors, not indicators")
        found = Map(place)
        names = found.species["name"].tolist()
        if wrong := [name for name in settings.layers if name != RICHNESS and name not in names]:
            raise InputError(
                f"outcome.layers: no joint draws of {wrong[0]}; expected {RICHNESS} or species such as {few(names, 3)}"
            )
        own = seed + (number if settings.errors_of_maps == "independent" else 0)
        years.append(
            _of_map(found, JointDraws(model.select(names, str(errors)), settings.draws, own), settings, shares)
        )
    return {name: np.stack([year[name] for year in years], axis=2) for name in settings.layers}


def _of_map(
    found: Map, draws: JointDraws, settings: OutcomeConfig, shares: sparse.csr_matrix
) -> dict[str, NDArray[np.float64]]:
    """Draws of each layer's means, (D, N)."""
    cells = np.unique(shares.indices)
    names = found.species["name"].tolist()
    sums = {name: np.zeros((shares.shape[0], settings.draws)) for name in settings.layers}
    known = np.zeros(shares.shape[0])
    for start in range(0, len(cells), _ROWS):
        some = cells[start : start + _ROWS]
        row, col = np.divmod(some, found.grid.width)
        probability = found.read_cells(row, col)
        there = np.isfinite(probability).all(axis=1)
        weights = shares[:, some[there]]
        known += np.asarray(weights.sum(axis=1)).ravel()
        x, y = found.grid.centre(row[there], col[there])
        drawn = draws.probabilities(x, y, np.ascontiguousarray(probability[there].T), slice(0, len(names)))
        for name, each in zip(names, drawn, strict=True):
            wanted = [layer for layer in (RICHNESS, name) if layer in sums]
            if wanted:
                mean = weights @ each
                for layer in wanted:
                    sums[layer] += mean
    with np.errstate(invalid="ignore", divide="ignore"):
        return {name: (total / known[:, None]).T for name, total in sums.items()}
