"""Whether the inputs of a map fit each other, and what is made of them."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.checks import require_near
from sdm_ray.geo.grid import to_xy
from sdm_ray.job import Job
from sdm_ray.mapping import aoa_setup
from sdm_ray.mapping.cell_predictor import Recipe
from sdm_ray.mapping.config import CellsConfig, EmbedConfig, MapConfig
from sdm_ray.mapping.effective_resolution import effective_resolution
from sdm_ray.mapping.from_embeddings import fit_species
from sdm_ray.mapping.quality_layers import LAYERS, NOVELTY, SCENES, SIMILARITY, SPREAD, applicability_layers
from sdm_ray.mapping.region_mask import Area, check_covers, grid_within, surveyed_cells
from sdm_ray.mapping.scenario import prepare_all
from sdm_ray.mapping.species_selection import choose, few
from sdm_ray.mapping.tile import Work
from sdm_ray.metrics.probability_kind import layer_has_meaning
from sdm_ray.model_io import Pretraining, SpeciesFolder, read_species_folder
from sdm_ray.progress import say
from sdm_ray.readers.polygons import outline
from sdm_ray.stores import artefact, icechunk_repository
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.cube import Cube
from sdm_ray.stores.embeddings import Embeddings
from sdm_ray.stores.holdout import HoldOut, check_cells
from sdm_ray.stores.land import Land
from sdm_ray.stores.maps import MapSpec
from sdm_ray.stores.surveys import countries_named, read_surveys


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
    covariates = None
    if config.from_embeddings is None or config.covariates is not None:
        covariates = _covariates(config, model)
    if config.from_embeddings is None:
        _check_cube(config, model)
    chosen = choose(config, model)
    for asked, name in ((config.crossfit, "crossfit"), (config.spread, "spread")):
        if asked and not model.folds:
            raise InputError(f"{name}: {config.path(config.model)} has no fold models; finetune it with folds")
    area, reference = _area(config), _reference(config, covariates)
    if config.crossfit:
        land = str(config.path(config.land)) if model.countries else None
        check_cells(config.path(config.model), HoldOut(model.blocks, land), area.grid, "crossfit")
    recipe = replace(
        _recipe(config, model),
        scenarios=prepare_all(config, covariates, area.grid),
        species=None if len(chosen.numbers) == len(model.species) else tuple(chosen.numbers),
        folds=model.folds if config.crossfit else 0,
        members=model.folds if config.spread else 0,
    )
    scenes = recipe.cube is not None
    if config.from_embeddings is not None:
        stored = _check_embeddings(config, area)
        scenes, heads = stored.has_layer("valid_scenes"), None
        if config.occurrences is not None:
            heads = fit_species(stored.path, config.path(config.occurrences), config.seed)
        recipe = replace(recipe, embeddings=str(stored.path), heads=heads)
    layers = LAYERS | (SPREAD if config.spread else {}) | (SCENES if scenes else {})
    if reference is not None:
        layers = layers | SIMILARITY | (NOVELTY if config.scenarios else {})
    elif config.scenarios:
        say("map: no surveys are given: the map does not tell where a scenario is novel to the model")
    applicability = None
    if config.applicability is not None:
        applicability = aoa_setup.find(config, config.applicability, model, covariates)
        layers = layers | applicability_layers(applicability)
    species, kind = model.species.iloc[chosen.numbers].reset_index(drop=True), model.probability_kind
    if config.occurrences is not None:
        species, kind = read_surveys(config.path(config.occurrences))[1], "relative"
    layers = {name: layer for name, layer in layers.items() if layer_has_meaning(name, kind)}
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
        applicability=applicability,
        scenarios=config.labels(),
    )
    if model.forest and not config.crossfit:
        say(
            "map: the model's forest was grown on the surveys: in their cells, of `survey_distance` 0, it leans towards"
            " what was found there; a map with `crossfit: true` does not, and is the one to score"
        )
    attrs = attributes(config, model, covariates) | {
        "crossfitted": config.crossfit,
        "forest_saw_surveyed_cells": model.forest and not config.crossfit,
    }
    if config.scenario is not None:
        attrs["scenario"] = config.scenario.model_dump(mode="json", exclude_defaults=True)
    for label, each in config.scenarios.items():
        attrs.setdefault("scenario_settings", {})[label] = each.model_dump(mode="json", exclude_defaults=True)
    if config.crossfit:
        attrs |= {"blocks": asdict(model.blocks), "held_out": "countries" if model.countries else "blocks"}
    if chosen.least is not None:
        attrs["least_prevalence"] = chosen.least
    root = {"title": config.title, "sources": sources(config), "sdm_ray": attrs}
    return Ready(work, MapSpec(species, kind, config.tile, layers, bits, root, config.labels()))


def prepare_embedding(config: EmbedConfig, output: UPath, fingerprint: str) -> tuple[Work, dict[str, Any]]:
    """The same for embeddings, whose layers say what a cell was embedded from; and their attributes."""
    model = read_species_folder(config.path(config.model))
    covariates = _covariates(config, model)
    _check_cube(config, model)
    recipe = _recipe(config, model)
    layers = {"inputs": LAYERS["inputs"]} | (SCENES if recipe.cube else {})
    work = Work(str(output), fingerprint, _area(config), recipe, layers)
    return work, attributes(config, model, covariates)


def start_version(config: CellsConfig, job: Job) -> None:
    """Where a repository is named, have the output committed to a branch of its own there."""
    if config.repository is not None:
        icechunk_repository.start(
            job.output, config.path(config.repository), f"{job.output.stem}-{job.fingerprint[:12]}"
        )


def _check_embeddings(config: MapConfig, area: Area) -> Embeddings:
    stored = Embeddings(config.path(config.from_embeddings or ""))
    model = artefact.read_record(config.path(config.model)).fingerprint
    if stored.attrs["model_fingerprint"] != model:
        raise InputError(
            f"from_embeddings: {stored.path} comes from a model of fingerprint {stored.attrs['model_fingerprint']};"
            f" {config.path(config.model)} has {model}"
        )
    check_covers(stored.grid, area.grid, f"from_embeddings: {stored.path}")
    return stored


def _area(config: CellsConfig) -> Area:
    land = Land(config.path(config.land))
    grid = grid_within(land, config.extent, config.resolution_m)
    west, south, east, north = grid.bounds
    if "far" not in config.force:
        require_near(np.array([west, east, west, east]), np.array([south, south, north, north]), "extent: a corner")
    places, countries = np.empty((0, 2)), np.empty(0, np.int64)
    if config.surveys:
        surveys, _ = read_surveys(config.path(config.surveys))
        x, y = to_xy(surveys["lon"].to_numpy(), surveys["lat"].to_numpy())
        places = surveyed_cells(grid, x, y)
        countries = np.unique(land.countries_of(x, y, countries_named(surveys)))
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
        raise InputError(f"countries: {land.path} has no {unknown[0]}; found {few(land.countries[1:])}")
    return tuple(land.countries.index(name) for name in names)


def _reference(config: CellsConfig, store: Covariates | None) -> np.ndarray | None:
    """The model's covariates at the surveys, (R, C); None where either is not given."""
    if not config.surveys or store is None:
        return None
    surveys, _ = read_surveys(config.path(config.surveys))
    values, each_known = store.at(*to_xy(surveys["lon"].to_numpy(), surveys["lat"].to_numpy()))
    known = each_known.all(axis=1)
    return values[known] if known.any() else None


def _covariates(config: CellsConfig, model: SpeciesFolder) -> Covariates | None:
    """The model's covariates; None where it uses none."""
    wanted = model.config.covariates
    if not wanted:
        return None
    if config.covariates is None:
        raise InputError(f"covariates: names no store; {config.path(config.model)} needs {few(wanted)}")
    store = Covariates(config.path(config.covariates))
    return store.select(wanted, f", which {config.path(config.model)} was trained with", model.embeddings)


def _check_cube(config: CellsConfig, model: SpeciesFolder) -> None:
    place = config.path(config.model)
    if model.photos:
        say(
            f"map: {place} has towers for images in shards ({', '.join(model.photos)}), which cells of a map have none"
            " of: they are predicted from the rest, and the layer `inputs` says so"
        )
    if model.satellite is None:
        if config.cube is not None:
            raise InputError(f"cube: {place} {_no_cube(model)}; expected no `cube`, or a model finetuned with one")
        return
    if config.cube is None:
        say("map: no cube is given: cells are predicted without the satellite tower, and the layer `inputs` says so")
        return
    path = config.path(config.cube)
    cube = Cube(path)
    have, wide = cube.bands, model.satellite.size * cube.grid.resolution
    if config.stride_m is not None and config.stride_m > wide:
        raise InputError(f"stride_m: {config.stride_m:g}, but patches are {wide:g} m wide: some land lies in none")
    if missing := [band for band in model.satellite.bands if band not in have]:
        raise InputError(f"{path}: has no band {missing[0]}, which {place} was trained with; found {few(have)}")


def _no_cube(model: SpeciesFolder) -> str:
    if model.config.satellite is None:
        return "has no satellite tower that looks at one"
    return "has a satellite tower that was trained on image shards, whose bands and pixels need not be those of a cube"


def _recipe(config: CellsConfig, model: SpeciesFolder) -> Recipe:
    with_cube = config.cube is not None and model.satellite is not None
    with_covariates = config.covariates is not None and bool(model.config.covariates)
    return Recipe(
        model=str(config.path(config.model)),
        species=None,
        folds=0,
        members=0,
        covariates=str(config.path(config.covariates)) if config.covariates and with_covariates else None,
        cube=str(config.path(config.cube)) if config.cube and with_cube else None,
        stride=config.stride_m if with_cube else None,
        embeddings=None,
        heads=None,
        block=config.block_cells,
        threads=max(1, int(config.compute.cpus)),
        gpu=config.compute.gpus > 0,
        memory=int(config.compute.memory_mb * 2**20),
    )


def sources(config: CellsConfig) -> list[str]:
    """What the inputs were made from."""
    records = [artefact.read_record(config.path(name)) for name in config.reads()]
    return sorted({source for record in records for source in record.sources})


def attributes(config: CellsConfig, model: SpeciesFolder, covariates: Covariates | None) -> dict[str, Any]:
    """The attributes of a map or of embeddings under `sdm_ray`."""
    cube = Cube(config.path(config.cube)) if config.cube and model.satellite is not None else None
    return {
        "cells": config.cells,
        "model_fingerprint": artefact.read_record(config.path(config.model)).fingerprint,
        "effective_resolution_m": effective_resolution(config.resolution_m, model, covariates, cube),
        "pretraining": _pretraining(config, model),
    }


def _pretraining(config: CellsConfig, model: SpeciesFolder) -> Pretraining:
    """Whether what the model, of a cross-fitted map its folds, began from had seen the blocks that scores come from."""
    if not getattr(config, "crossfit", False):
        return model.pretraining
    folders = [config.path(config.model) / "folds" / str(fold) for fold in range(model.folds)]
    found = {read_species_folder(each).pretraining for each in folders}
    return next(each for each in ("transductive", "inductive", "none") if each in found)
