"""Whether the inputs of a map fit each other, and what is made of them."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.folders import SpeciesFolder, read_species_folder
from sdm_ray.geo.grid import to_xy
from sdm_ray.mapping.area import Area, grid_within, surveyed_cells, surveyed_countries
from sdm_ray.mapping.config import MapConfig
from sdm_ray.mapping.layers import LAYERS, SCENES, SIMILARITY, SPREAD
from sdm_ray.mapping.predict import Recipe
from sdm_ray.mapping.tile import Work
from sdm_ray.progress import say
from sdm_ray.sources.area import outline
from sdm_ray.stores import artefact
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.cube import Cube
from sdm_ray.stores.land import Land
from sdm_ray.stores.maps import MapSpec
from sdm_ray.stores.surveys import read_surveys


@dataclass(frozen=True)
class Ready:
    """A map ready to be made.

    Attributes:
        work: what every tile needs.
        spec: what is stored.
    """

    work: Work
    spec: MapSpec


def prepare(config: MapConfig, output: UPath, fingerprint: str) -> Ready:
    """Check the inputs against each other before any work.

    Args:
        config: of the job.
        output: where the map is written.
        fingerprint: of the map.

    Raises:
        InputError: one line for the first that does not fit.
    """
    model = read_species_folder(config.path(config.model))
    _check_covariates(config, model)
    _check_cube(config, model)
    chosen = _chosen(config, model)
    for asked, name in ((config.crossfit, "crossfit"), (config.spread, "spread")):
        if asked and not model.folds:
            raise InputError(f"{name}: {config.path(config.model)} has no fold models; finetune it with folds")
    area, reference = _area(config), _reference(config, model)
    recipe = _recipe(config, model, None if len(chosen.numbers) == len(model.species) else tuple(chosen.numbers))
    layers = LAYERS | (SPREAD if config.spread else {}) | (SCENES if recipe.cube else {})
    if reference is not None:
        layers = layers | SIMILARITY
    bits = chosen.bits if config.bits == "auto" else config.bits
    work = Work(
        output=str(output),
        fingerprint=fingerprint,
        area=area,
        recipe=recipe,
        layers=layers,
        bits=bits,
        reference=reference,
        folds=model.blocks if config.crossfit else None,
        by_country=model.countries,
    )
    species = model.species.iloc[chosen.numbers].reset_index(drop=True)
    attrs = _attrs(config, model) | ({"least_prevalence": chosen.least} if chosen.least is not None else {})
    root = {"title": config.title, "sources": _sources(config), "sdm_ray": attrs}
    return Ready(work, MapSpec(species, model.probability_kind, config.tile, layers, bits, root))


@dataclass(frozen=True)
class _Chosen:
    """The species of a map.

    Attributes:
        numbers: in the model, in its order.
        least: share of the surveys that the rarest of them was seen in; None without surveys.
    """

    numbers: list[int]
    least: float | None

    @property
    def bits(self) -> Literal[8, 16]:
        """Steps small enough for the rarest species: a hundredth of its mean probability at most."""
        return 8 if self.least is not None and self.least * 254 >= 100 else 16


def _chosen(config: MapConfig, model: SpeciesFolder) -> _Chosen:
    names = model.species["name"].tolist()
    wanted = names if config.species is None else config.species
    if unknown := [name for name in wanted if name not in names]:
        raise InputError(f"species: {config.path(config.model)} does not know {unknown[0]!r}; found {_few(names)}")
    numbers = [number for number, name in enumerate(names) if name in set(wanted)]
    if config.surveys is None:
        return _Chosen(numbers, None)
    surveys, species = read_surveys(config.path(config.surveys))
    seen = np.bincount(np.concatenate(surveys["species"].to_numpy()), minlength=len(species))
    shares = dict(zip(species["name"], seen / len(surveys), strict=True))
    prevalence = np.array([shares.get(name, 0.0) for name in names])
    numbers = [number for number in numbers if prevalence[number] >= config.min_prevalence]
    if not numbers:
        raise InputError(
            f"min_prevalence: {config.min_prevalence}, but no species of the map reaches it; the commonest"
            f" has {prevalence.max():.2g}"
        )
    return _Chosen(numbers, float(prevalence[numbers].min()))


def _area(config: MapConfig) -> Area:
    land = Land(config.path(config.land))
    grid = grid_within(land, config.extent, config.resolution_m)
    places, countries = np.empty((0, 2)), np.empty(0, np.int64)
    if config.surveys:
        surveys, _ = read_surveys(config.path(config.surveys))
        x, y = to_xy(surveys["lon"].to_numpy(), surveys["lat"].to_numpy())
        places = surveyed_cells(grid, x, y)
        names = surveys["country"].fillna("").to_numpy(str) if "country" in surveys else None
        countries = surveyed_countries(land.country_at(x, y), names)
    return Area(
        land=str(land.path),
        grid=grid,
        places=places,
        countries=countries,
        surveyed_only=config.cells == "surveyed",
        chosen=_numbers_of(land, config.countries),
        outline=None if config.within is None else outline(config.within),
        reach=np.inf if config.near_surveys_m is None else config.near_surveys_m,
    )


def _numbers_of(land: Land, names: list[str] | None) -> tuple[int, ...] | None:
    if names is None:
        return None
    if unknown := [name for name in names if name not in land.countries[1:]]:
        raise InputError(f"countries: {land.path} has no {unknown[0]}; found {_few(land.countries[1:])}")
    return tuple(land.countries.index(name) for name in names)


def _reference(config: MapConfig, model: SpeciesFolder) -> np.ndarray | None:
    """The model's covariates at the surveys, (R, C); None where either is not given."""
    if not (config.surveys and config.covariates and model.config.covariates):
        return None
    surveys, _ = read_surveys(config.path(config.surveys))
    store = Covariates(config.path(config.covariates))
    values, known = store.at(*to_xy(surveys["lon"].to_numpy(), surveys["lat"].to_numpy()))
    columns = [store.names.index(name) for name in model.config.covariates]
    return values[known][:, columns] if known.any() else None


def _check_covariates(config: MapConfig, model: SpeciesFolder) -> None:
    wanted = list(model.config.covariates)
    if not wanted:
        return
    if config.covariates is None:
        raise InputError(f"covariates: names no store; {config.path(config.model)} needs {_few(wanted)}")
    path = config.path(config.covariates)
    have = Covariates(path).names
    if missing := [name for name in wanted if name not in have]:
        raise InputError(
            f"{path}: has no covariate {missing[0]}, which {config.path(config.model)} was trained with;"
            f" found {_few(have)}"
        )


def _check_cube(config: MapConfig, model: SpeciesFolder) -> None:
    if model.satellite is None:
        return
    if config.cube is None:
        say("map: no cube is given: the model's satellite tower stays unused and every cell says so")
        return
    path = config.path(config.cube)
    have = Cube(path).bands
    if missing := [band for band in model.satellite.bands if band not in have]:
        raise InputError(
            f"{path}: has no band {missing[0]}, which {config.path(config.model)} was trained with; found {_few(have)}"
        )


def _recipe(config: MapConfig, model: SpeciesFolder, species: tuple[int, ...] | None) -> Recipe:
    with_cube = config.cube is not None and model.config.satellite is not None
    with_covariates = config.covariates is not None and bool(model.config.covariates)
    return Recipe(
        model=str(config.path(config.model)),
        species=species,
        folds=model.folds if config.crossfit else 0,
        members=model.folds if config.spread else 0,
        covariates=str(config.path(config.covariates)) if config.covariates and with_covariates else None,
        cube=str(config.path(config.cube)) if config.cube and with_cube else None,
        block=config.block_cells,
        threads=max(1, int(config.compute.cpus)),
        gpu=config.compute.gpus > 0,
        memory=int(config.compute.memory_mb * 2**20),
    )


def _sources(config: MapConfig) -> list[str]:
    records = [artefact.read_record(config.path(name)) for name in config.reads()]
    return sorted({source for record in records for source in record.sources})


def _attrs(config: MapConfig, model: SpeciesFolder) -> dict[str, Any]:
    """What the map says of itself under `sdm_ray`."""
    own: dict[str, Any] = {
        "crossfitted": config.crossfit,
        "cells": config.cells,
        "model_fingerprint": artefact.read_record(config.path(config.model)).fingerprint,
        "effective_resolution_m": _effective_resolution(config, model),
        "pretraining": model.pretraining,
    }
    if config.crossfit:
        own["blocks"] = asdict(model.blocks)
        own["held_out"] = "countries" if model.countries else "blocks"
    return own


def _effective_resolution(config: MapConfig, model: SpeciesFolder) -> float:
    """The finest detail that any input carries, metres, and never finer than a cell."""
    finest = [float("inf")]
    if model.config.location is not None and model.config.location.kind == "ladder":
        finest.append(min(model.config.location.wavelengths_km) * 500)  # half a wavelength, in metres
    if config.covariates and model.config.covariates:
        finest.append(Covariates(config.path(config.covariates)).effective_resolution_m)
    if config.cube and model.config.satellite:
        finest.append(Cube(config.path(config.cube)).grid.resolution)
    return max(config.resolution_m, min(finest))


def _few(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
