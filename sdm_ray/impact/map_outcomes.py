"""Outcomes that a model mapped: means over the cells of each parcel, from maps or indicators of two or more years.

A map that was made from location and static covariates alone cannot change, whatever was done to a parcel: it is
refused.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from upath import UPath

from sdm_ray.errors import InputError, few
from sdm_ray.geo.grid import Grid
from sdm_ray.impact.config import ImpactConfig
from sdm_ray.impact.map_draws import draws_of_errors
from sdm_ray.impact.outcomes import Outcomes, whole_draws
from sdm_ray.impact.parcels import cell_shares, point_shares
from sdm_ray.impact.units import Units
from sdm_ray.metrics.probability_kind import require_levels
from sdm_ray.stores import artefact, raster
from sdm_ray.stores.maps import Map

_MOST_NUMBERS = 1 << 26  # of probabilities in memory


def from_maps(config: ImpactConfig, units: Units) -> Outcomes:
    """Mean of each layer over each unit's cells, by year, with a joint draw for each member.

    Raises:
        InputError: the maps cannot have changed, lie on different grids or lack a layer, or hold none of the units; or
            members lack values that the maps have.
    """
    settings = config.outcome
    every = sorted(settings.maps)
    places = [config.path(settings.maps[year]) for year in every]
    notes = check_can_change({str(year): place for year, place in zip(every, places, strict=True)})
    grid = _grid(places[0])
    shares = point_shares(units.x, units.y, grid) if units.shapes is None else cell_shares(units.shapes, grid)
    touched = np.asarray(shares.sum(axis=1)).ravel()
    if not (touched > 0).any():
        raise InputError(f"{places[0]}: none of {len(units.ids)} units of {config.units} lies on the map")
    if outside := int((touched == 0).sum()):
        notes.append(f"{outside} units lie outside the map")
    if small := int(((touched > 0) & (touched < 1)).sum()) if units.shapes is not None else 0:
        notes.append(f"{small} parcels are smaller than a cell of the map, which shows their surroundings as well")

    def read(which: list[UPath]) -> NDArray[np.float64]:
        """Values of all layers in maps of all years, (L, N, T)."""
        for place in which:
            if _grid(place) != grid:
                raise InputError(f"{place}: lies on another grid than {places[0]}")
        return np.stack([zonal_means(place, settings.layers, shares) for place in which], axis=2)

    values = read(places)
    if not np.nanmax(np.abs(np.diff(values, axis=2)), initial=0.0) > 0:
        raise InputError(f"{places[-1]}: has the values of {places[0]} in every unit, expected maps that can change")
    named = list(enumerate(settings.layers))
    truth: dict[str, NDArray[np.float64]] = {}
    if settings.truth:
        true = read([config.path(settings.truth[year]) for year in every])
        truth = {name: true[number] for number, name in named}
    draws: dict[str, NDArray[np.float64]] = {}
    if settings.members:
        members = [read([config.path(member[year]) for year in every]) for member in settings.members]
        drawn = {name: np.stack([each[number] for each in members]) for number, name in named}
        draws = {name: whole_draws(f"outcome.members: {name}", values[number], drawn[name]) for number, name in named}
    elif settings.errors is not None:
        drawn = draws_of_errors(places, config.path(settings.errors), settings, shares, config.seed)
        where = f"outcome.errors: {settings.errors}"
        draws = {name: whole_draws(f"{where}: {name}", values[number], drawn[name]) for number, name in named}
    else:
        notes.append(
            "the maps come without joint draws of their error (outcome.errors or members), so that the interval holds"
            " only what varies between places"
        )
    return Outcomes(
        np.array(every, np.float64),
        {name: values[number] for number, name in named},
        draws,
        truth=truth,
        from_maps=True,
        notes=notes,
    )


@dataclass(frozen=True)
class _Made:
    """What a map was predicted from.

    Attributes:
        place: of the map.
        changing: inputs that may show a change (`cube`, `covariates`) -> fingerprint.
        model: fingerprint of the model; None where the map is no prediction.
    """

    place: UPath
    changing: dict[str, str]
    model: str | None


def check_can_change(maps: dict[str, UPath]) -> list[str]:
    """Refuse maps whose inputs are the same in every year; returns notes on what else differs between them.

    Raises:
        InputError: no input that shows the land (tile cube, covariates) differs between two years.
    """
    made = {year: _made_from(place) for year, place in maps.items()}
    first, *others = made.items()
    for year, other in others:
        before = first[1]
        if before.model is None and other.model is None:
            continue  # true or measured values, no predictions
        if not before.changing or not other.changing or before.changing == other.changing:
            shown = " and ".join(["location", *sorted(before.changing)])
            raise InputError(
                f"{other.place}: was made from the same inputs as {before.place} ({shown}), so that it cannot show a"
                f" change between {first[0]} and {year}; expected maps from tile cubes or covariates of both years"
            )
    if len({each.model for each in made.values()}) > 1:
        return ["the maps come from different models, whose differences are part of every change"]
    return []


def _made_from(place: UPath) -> _Made:
    """The inputs of a map, or of the map behind indicators or the embeddings behind a map."""
    record = artefact.read_record(place)
    config: dict[str, Any] = record.config
    behind = config.get("map") if record.kind == "indicators" else config.get("from_embeddings")
    if behind:
        where = UPath(behind) if "://" in behind or behind.startswith("/") else place.parent / behind
        return _made_from(where)
    inputs = {
        name: record.inputs.get(str(config[name]), "") for name in ("cube", "covariates", "model") if config.get(name)
    }
    model = inputs.pop("model", None)
    return _Made(place, inputs, model)


def _grid(place: UPath) -> Grid:
    group: Any = raster.open_group(place / "0")
    return raster.read_grid(group)


def zonal_means(place: UPath, layers: list[str], shares: sparse.csr_matrix) -> NDArray[np.float64]:
    """Mean of each layer over the known cells of each unit, weighted by the cells' shares, NaN without any, (L, N).

    Args:
        place: map or indicators.
        layers: names of layers or, of a map, of species.
        shares: of `cell_shares`, (N, height * width).

    Raises:
        InputError: there is no such layer.
    """
    cells = np.unique(shares.indices)
    compact = shares[:, cells]
    values = np.stack([_cells_of(place, name, cells) for name in layers])
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((compact @ np.where(known, values, 0).T).T / (compact @ known.T.astype(np.float64)).T)


def _cells_of(place: UPath, name: str, cells: NDArray[np.int64]) -> NDArray[np.float64]:
    """A layer, or the probability of a species, at cells, (K,); a map without a layer of richness has its sum."""
    group: Any = raster.open_group(place / "0")
    width = raster.read_grid(group).width
    _require_levels(place, name)
    if name in group and group[name].ndim == 2:
        return np.asarray(group[name][...], np.float64).ravel()[cells]
    species = list(Map(place).species["name"]) if "probability" in group else []
    if name not in species and not (name == "richness" and species):
        layers = sorted(key for key, array in group.arrays() if array.ndim == 2)
        raise InputError(f"{place}: has no layer or species {name}; found {few([*layers, *species], 8)}")
    found = Map(place)
    step = max(1, _MOST_NUMBERS // len(species))
    parts = [found.read_cells(*np.divmod(cells[start : start + step], width)) for start in range(0, len(cells), step)]
    each = [part.sum(axis=1) if name not in species else part[:, species.index(name)] for part in parts]
    return np.concatenate(each).astype(np.float64)


def _require_levels(place: UPath, name: str) -> None:
    """A change of a suitability that only ranks places has no size."""
    root: Any = raster.open_group(place)
    kind = root.attrs.get("probability_kind") or root.attrs.get("sdm_ray", {}).get("probability_kind", "occurrence")
    require_levels(f"{place}: change of {name}", kind)
