"""One tile of a map, from its coordinates to its record in the ledger."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from upath import UPath

from sdm_ray.geo.blocks import Blocks, fold, fold_of
from sdm_ray.geo.windows import Window
from sdm_ray.mapping.aoa import Applicability
from sdm_ray.mapping.cell_predictor import Cells, Predictor, Recipe
from sdm_ray.mapping.mess import Similarity
from sdm_ray.mapping.plan import PlannedTile
from sdm_ray.mapping.quality_layers import COVARIATES, SATELLITE, SEA
from sdm_ray.mapping.region_mask import Area
from sdm_ray.mapping.scenario_tables import differences, named
from sdm_ray.stores.encoding import encode, nodata
from sdm_ray.stores.maps import Layer, Map


@dataclass(frozen=True)
class Work:
    """What is the same for every tile; sent to each worker once.

    Attributes:
        output: the map.
        fingerprint: of the map.
        area: the wanted cells.
        recipe: the models and what they read.
        layers: what is written beside the probabilities.
        bits: of a stored probability.
        reference: covariates at the surveys, (R, C); None where similarity to them is not asked for.
        folds: how places were held out from the fold models; None for the model of all surveys.
        by_country: whether whole countries were held out, not blocks.
        applicability: of the model, where its area is asked for.
        scenarios: labels of the map's scenarios, the baseline first; none where it has no such axis.
    """

    output: str
    fingerprint: str
    area: Area
    recipe: Recipe
    layers: dict[str, Layer]
    bits: int = 8
    reference: np.ndarray | None = None
    folds: Blocks | None = None
    by_country: bool = False
    applicability: Applicability | None = None
    scenarios: tuple[str, ...] = ()

    @cached_property
    def similarity(self) -> Similarity | None:
        """Of covariates to those at the surveys."""
        return None if self.reference is None else Similarity(self.reference)


class Sums:
    """What is summed over species, block by block, before probabilities are rounded.

    Attributes:
        by_species: sum over the cells, float64, as many species as were added.
    """

    def __init__(self, count: int) -> None:
        self.by_species = np.zeros(0)
        self._richness = np.zeros((1, count))  # of each model, the mapped one first
        self._variance = np.zeros(count)
        self._spread = np.zeros(count)

    def add(self, p: np.ndarray, others: list[np.ndarray]) -> None:
        """Add probabilities of more species, (K, N), and those of the fold models beside them."""
        self.by_species = np.append(self.by_species, p.sum(1, dtype=np.float64))
        self._variance += (p * (1 - p)).sum(0, dtype=np.float64)
        self._richness = self._richness + np.stack([each.sum(0, dtype=np.float64) for each in (p, *others)])
        if others:
            self._spread += np.std(others, axis=0, ddof=1).sum(0, dtype=np.float64)

    def layers(self) -> dict[str, np.ndarray]:
        """Layers of the cells, (N,) each."""
        found = {"richness": self._richness[0], "richness_variance": self._variance}
        if len(self._richness) > 1:
            found["richness_spread"] = self._richness[1:].std(axis=0, ddof=1)
            found["probability_spread"] = self._spread / len(self.by_species)
        return found


class Mapper:
    """Does tiles, with the models loaded."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._predictor = Predictor(work.recipe)

    def do(self, tile: PlannedTile) -> dict[str, Any]:
        """Compute and write a tile.

        Returns:
            Figures: number of cells, how many had covariates or imagery, and the sum of each species' unrounded
            probabilities.
        """
        return self.compute(tile, UPath(self._work.output))

    def compute(self, tile: PlannedTile, place: UPath) -> dict[str, Any]:
        """Compute a tile and write it to a map, scenario by scenario, which share no memory.

        Returns:
            Figures of the map; of one of scenarios those of the baseline, and of each under its name (see `named`).
        """
        first, *others = self._work.scenarios or [None]
        baseline = Map(place, writable=True, scenario=first)
        figures, novel = self._scenario(tile, baseline, 0)
        if not self._work.scenarios:
            return figures
        found = figures | named(str(first), figures)
        for number, label in enumerate(others, 1):
            target = Map(place, writable=True, scenario=label)
            own, novel = self._scenario(tile, target, number)
            found |= named(str(label), own | differences(baseline, target, tile.window, novel))
        return found

    def _scenario(self, tile: PlannedTile, target: Map, number: int) -> tuple[dict[str, Any], np.ndarray]:
        """Compute a tile of a scenario and write it, block of species by block.

        Cells are embedded once; then species are predicted and written block by block, so that memory holds the
        embeddings and one block, however many species there are.

        Returns:
            Figures, and where covariates are novel, bool (height, width).
        """
        area, window = self._work.area, tile.window
        wanted = area.wanted(window)
        embedded = list(self._predictor.embed(area.grid, window, wanted, self._fold(window, wanted), number))
        sums = [Sums(len(cells.rows)) for cells in embedded]
        for block in target.species_blocks():
            target.write_species(window, block, self._species(window, block, embedded, sums))
        layers = self._layers(window, embedded, sums)
        target.write_layers(window, layers)
        figures = {**_figures(layers), "species_sums": np.sum([each.by_species for each in sums], axis=0).tolist()}
        return figures, layers.get("novel", np.zeros(wanted.shape)) == 1

    def _species(self, window: Window, block: slice, embedded: list[Cells], sums: list[Sums]) -> np.ndarray:
        """Probabilities of a block of species as they are stored, (K, height, width); adds to the sums."""
        bits = self._work.bits
        shape = (block.stop - block.start, window.height, window.width)
        stored = np.full(shape, nodata(bits), f"uint{bits}")
        for cells, total in zip(embedded, sums, strict=True):
            p, *others = self._predictor.probabilities(cells, block)
            place = cells.rows * window.width + cells.cols
            for layer, values in zip(stored, encode(p, bits), strict=True):  # ten times faster than all in one
                layer.ravel()[place] = values
            total.add(p, others)
        return stored

    def _layers(self, window: Window, embedded: list[Cells], sums: list[Sums]) -> dict[str, np.ndarray]:
        area = self._work.area
        layers = {
            name: np.full((window.height, window.width), layer.fill, layer.dtype)
            for name, layer in self._work.layers.items()
        }
        surveyed = area.surveyed_country(window)
        for cells, total in zip(embedded, sums, strict=True):
            at = cells.rows, cells.cols
            x, y = area.grid.centre(cells.rows + window.row, cells.cols + window.col)
            found = {
                **total.layers(),
                "inputs": cells.inputs,
                "surveyed_country": surveyed[at],
                "survey_distance": area.distance(x, y),
                "valid_scenes": cells.scenes,
                **self._similarity(cells),
                **self._applicability(cells),
            }
            for name, values in layers.items():
                values[at] = found[name]
        return layers

    def _similarity(self, cells: Cells) -> dict[str, np.ndarray]:
        """Similarity of the cells' covariates to those of the surveys, and whether one lies outside their range."""
        if self._work.similarity is None:
            return {}
        known = cells.inputs & COVARIATES > 0
        found = np.where(known, self._work.similarity.of(cells.covariates)[cells.covariates_of], np.float32(np.nan))
        return {"environmental_similarity": found, "novel": np.where(np.isnan(found), SEA, found < 0).astype(np.uint8)}

    def _applicability(self, cells: Cells) -> dict[str, np.ndarray]:
        """Dissimilarity index of the cells, and whether they lie in the area of applicability."""
        if self._work.applicability is None:
            return {}
        di = self._work.applicability.of(cells.covariates)
        inside = np.where(np.isnan(di), SEA, di <= self._work.applicability.threshold).astype(np.uint8)
        return {"di": di[cells.covariates_of], "inside_aoa": inside[cells.covariates_of]}

    def _fold(self, window: Window, wanted: np.ndarray) -> np.ndarray:
        """The fold that each wanted cell of a window was held out in, int (height, width); 0 without folds."""
        folds = self._work.folds
        if folds is None:
            return np.zeros((window.height, window.width), np.int16)
        if self._work.by_country:
            return fold_of(self._work.area.nearest_country(window, wanted), folds)
        rows, cols = np.mgrid[window.slices]
        return fold(*self._work.area.grid.centre(rows, cols), folds)


def _figures(layers: dict[str, np.ndarray]) -> dict[str, Any]:
    inputs = layers["inputs"]
    outside = {"outside_applicability": int((layers["inside_aoa"] == 0).sum())} if "inside_aoa" in layers else {}
    novel = {"novel": int((layers["novel"] == 1).sum())} if "novel" in layers else {}
    return {
        "cells": int((inputs > 0).sum()),
        "with_covariates": int((inputs & COVARIATES > 0).sum()),
        "with_satellite": int((inputs & SATELLITE > 0).sum()),
        "without_survey_in_country": int((layers["surveyed_country"] == 0).sum()),
        **outside,
        **novel,
    }
