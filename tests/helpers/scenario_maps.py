"""A finished map of scenarios from given probabilities, as `map` leaves it, made without Ray."""

import numpy as np
import pandas as pd

from sdm_ray.geo.windows import tiles
from sdm_ray.mapping.quality_layers import LAYERS, NOVELTY
from sdm_ray.mapping.scenario_tables import differences, named
from sdm_ray.stores import artefact, pyramid, raster
from sdm_ray.stores.ledger import Ledger
from sdm_ray.stores.maps import Map, MapSpec, baseline, create_map

NAMES = ("richness", "richness_variance")


def write_scenarios(path, grid, species, probability, levels=0):
    """Write a map.

    Args:
        path: of the map.
        grid: of the map.
        species: names.
        probability: label -> (S, height, width), the baseline first; NaN for no value.
        levels: coarser ones.
    """
    table = pd.DataFrame({"species_id": range(len(species)), "name": species})
    layers = {name: LAYERS[name] for name in NAMES} | NOVELTY
    create_map(path, grid, MapSpec(table, "occurrence", 64, layers, scenarios=tuple(probability)))
    ledger, (first, *_) = Ledger(path, "f"), probability
    for tile in tiles(grid, 64):
        found = {}
        for label, values in probability.items():
            p = values[:, *tile.window.slices]
            novel = np.where(np.isnan(p[0]), 255, p[0] > 0.5).astype(np.uint8)
            target = Map(path, writable=True, scenario=label)
            target.write(
                tile.window, p, dict(zip(NAMES, (p.sum(0), (p * (1 - p)).sum(0)), strict=True)) | {"novel": novel}
            )
            sums = np.nansum(p, axis=(1, 2), dtype=np.float64).tolist()
            found[label] = {
                "cells": int((~np.isnan(p[0])).sum()),
                "species_sums": sums,
                "novel": int((novel == 1).sum()),
            }
            if label != first:
                found[label] |= differences(Map(path, scenario=first), target, tile.window, novel == 1)
        every = {name: value for label, own in found.items() for name, value in named(label, own).items()}
        ledger.add(tile.id, found[first] | every)
    if levels:
        pyramid.create_levels(path, levels)
    for level in range(1, levels + 1):
        for tile in tiles(pyramid.level_grid(baseline(path).grid, level), 64):
            pyramid.fill_level(path, level, tile.window)
    raster.consolidate(path)
    artefact.seal(path, artefact.Record(kind="map", fingerprint="f", sources=["made up"]))
