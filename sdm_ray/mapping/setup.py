"""Whether the inputs of a map fit each other, and what is made of them."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.folders import SpeciesFolder, read_species_folder
from sdm_ray.geo.grid import to_xy
from sdm_ray.mapping.area import Area, grid_within, surveyed_cells, surveyed_countries
from sdm_ray.mapping.config import MapConfig
from sdm_ray.mapping.layers import LAYERS
from sdm_ray.mapping.predict import Recipe
from sdm_ray.mapping.tile import Work
from sdm_ray.progress import say
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
    if config.crossfit and not model.folds:
        raise InputError(f"crossfit: {config.path(config.model)} has no fold models; finetune it with folds")
    work = Work(
        output=str(output),
        fingerprint=fingerprint,
        area=_area(config),
        recipe=_recipe(config, model),
        folds=model.blocks if config.crossfit else None,
        by_country=model.countries,
    )
    return Ready(work, _spec(config, model))


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
    return Area(str(land.path), grid, places, countries, config.cells == "surveyed")


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


def _recipe(config: MapConfig, model: SpeciesFolder) -> Recipe:
    with_cube = config.cube is not None and model.config.satellite is not None
    with_covariates = config.covariates is not None and bool(model.config.covariates)
    return Recipe(
        model=str(config.path(config.model)),
        folds=model.folds if config.crossfit else 0,
        covariates=str(config.path(config.covariates)) if config.covariates and with_covariates else None,
        cube=str(config.path(config.cube)) if config.cube and with_cube else None,
        block=config.block_cells,
        threads=max(1, int(config.compute.cpus)),
        gpu=config.compute.gpus > 0,
        memory=int(config.compute.memory_mb * 2**20),
    )


def _spec(config: MapConfig, model: SpeciesFolder) -> MapSpec:
    records = {name: artefact.read_record(config.path(name)) for name in config.reads()}
    own: dict[str, Any] = {
        "crossfitted": config.crossfit,
        "cells": config.cells,
        "model_fingerprint": records[config.model].fingerprint,
        "effective_resolution_m": _effective_resolution(config, model),
        "pretraining": model.pretraining,
    }
    if config.crossfit:
        own["blocks"] = asdict(model.blocks)
        own["held_out"] = "countries" if model.countries else "blocks"
    sources = sorted({source for record in records.values() for source in record.sources})
    attrs = {"title": config.title, "sources": sources, "sdm_ray": own}
    return MapSpec(model.species, model.probability_kind, config.tile, LAYERS, config.bits, attrs)


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
