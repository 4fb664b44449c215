"""The mean composition of a map's cells, which their contributions to beta diversity are distances to: a first pass."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.geo.windows import Tile
from sdm_ray.indicators.tile import cells_with_data, probabilities, species_blocks, strips
from sdm_ray.mapping.all_tiles import do_all
from sdm_ray.mapping.config import ComputeConfig
from sdm_ray.stores.maps import Map


@dataclass(frozen=True)
class Composition:
    """Sums of Hellinger-transformed compositions, y_j = sqrt(p_j / sum p), over cells.

    Attributes:
        sums: of y_j, (S,).
        cells: number of cells with species.
    """

    sums: NDArray[np.float64]
    cells: int


def composition(source: Map, todo: Sequence[Tile], compute: ComputeConfig) -> Composition:
    """The sums over all cells of a map.

    Raises:
        InputError: a tile cannot be read.
    """
    shared = (str(source.path), source.scenario)
    ordered = do_all(_of_tile, shared, todo, compute, name="composition", place=source.path)
    return Composition(np.sum([each.sums for each in ordered], axis=0), sum(each.cells for each in ordered))


def _of_tile(shared: tuple[str, str | None], tile: Tile) -> Composition:
    path, scenario = shared
    return composition_of(Map(UPath(path), scenario=scenario), tile)


def composition_of(found: Map, tile: Tile) -> Composition:
    """The sums over the cells of one tile; its probabilities are read twice where memory does not hold all species."""
    known, _ = cells_with_data(found, tile.window)
    sums = np.zeros(len(found.species))
    if not len(known):
        return Composition(sums, 0)
    total = np.zeros(len(known), np.float32)
    block, stored = slice(0, 0), np.zeros((0, len(known)), np.uint16)
    for block, stored in species_blocks(found, tile.window, known):
        for species, strip in strips(block, len(known)):
            total[strip] += _part(found, stored, block, (species, strip)).sum(axis=0)
    with np.errstate(divide="ignore"):
        weights = np.where(total > 0, 1 / np.sqrt(total), 0).astype(np.float32)
    again = [(block, stored)] if block.start == 0 else species_blocks(found, tile.window, known)
    for block, stored in again:
        for species, strip in strips(block, len(known)):
            sums[species] += np.sqrt(_part(found, stored, block, (species, strip))) @ weights[strip]
    return Composition(sums, int((total > 0).sum()))


def _part(
    found: Map, stored: NDArray[np.integer], block: slice, at: tuple[slice, slice]
) -> NDArray[np.float32]:  # fmt: skip
    """Probabilities of some of a block's species in some cells."""
    species, strip = at
    return probabilities(stored[species.start - block.start : species.stop - block.start, strip], found.bits)[0]
