"""One tile of a map, from its coordinates to its record in the ledger."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from upath import UPath

from sdm_ray.geo.blocks import Blocks, fold, fold_of
from sdm_ray.geo.windows import Window
from sdm_ray.mapping.area import Area
from sdm_ray.mapping.layers import COVARIATES, LAYERS, SATELLITE
from sdm_ray.mapping.plan import Piece
from sdm_ray.mapping.predict import Predictor, Recipe
from sdm_ray.stores.ledger import Ledger
from sdm_ray.stores.maps import Map


@dataclass(frozen=True)
class Work:
    """What is the same for every tile; sent to each worker once.

    Attributes:
        output: the map.
        fingerprint: of the map.
        area: the wanted cells.
        recipe: the models and what they read.
        folds: how places were held out from the fold models; None for the model of all surveys.
        by_country: whether whole countries were held out, not blocks.
    """

    output: str
    fingerprint: str
    area: Area
    recipe: Recipe
    folds: Blocks | None
    by_country: bool


class Mapper:
    """Does tiles, with the models loaded."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._predictor = Predictor(work.recipe)

    def compute(self, piece: Piece) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, Any]]:
        """Probabilities of a tile.

        Returns:
            Probabilities float32 (S, height, width), NaN where nothing was wanted; the quality layers; and figures:
            number of cells, how many lacked covariates or imagery, and the sum of each species' unrounded
            probabilities.
        """
        area, window = self._work.area, piece.window
        shape = (window.height, window.width)
        probability: np.ndarray | None = None
        layers = {name: np.full(shape, layer.fill, layer.dtype) for name, layer in LAYERS.items()}
        sums: np.ndarray = np.zeros(())
        for cells in self._predictor.predict(area.grid, window, area.wanted(window), self._fold(window)):
            p, at = cells.probabilities, (cells.rows, cells.cols)
            if probability is None:
                probability = np.full((p.shape[1], *shape), np.nan, np.float32)
            probability[:, cells.rows, cells.cols] = p.T
            layers["richness"][at] = p.sum(1, dtype=np.float64)
            layers["richness_variance"][at] = (p * (1 - p)).sum(1, dtype=np.float64)
            layers["inputs"][at] = cells.inputs
            sums = sums + p.sum(0, dtype=np.float64)
        assert probability is not None, "a piece holds at least one wanted cell"
        done = layers["inputs"] > 0
        rows, cols = np.nonzero(done)
        layers["survey_distance"][done] = area.distance(*area.grid.centre(rows + window.row, cols + window.col))
        layers["surveyed_country"][done] = area.surveyed_country(window)[done]
        return probability, layers, _figures(layers, sums)

    def _fold(self, window: Window) -> np.ndarray:
        """The fold that each cell of a window was held out in, int (height, width); 0 without folds."""
        folds = self._work.folds
        if folds is None:
            return np.zeros((window.height, window.width), np.int16)
        if self._work.by_country:
            return fold_of(self._work.area.country(window).astype(np.int64), folds)
        rows, cols = np.mgrid[window.slices]
        return fold(*self._work.area.grid.centre(rows, cols), folds)

    def do(self, piece: Piece) -> dict[str, Any]:
        """Compute, write and record a tile; the record comes last."""
        probability, layers, figures = self.compute(piece)
        output = UPath(self._work.output)
        Map(output, writable=True).write(piece.window, probability, layers)
        Ledger(output, self._work.fingerprint).add(piece.id, figures)
        return figures


def _figures(layers: dict[str, np.ndarray], sums: np.ndarray) -> dict[str, Any]:
    inputs, known = layers["inputs"], layers["inputs"] > 0
    return {
        "cells": int(known.sum()),
        "with_covariates": int((inputs & COVARIATES > 0).sum()),
        "with_satellite": int((inputs & SATELLITE > 0).sum()),
        "without_survey_in_country": int((layers["surveyed_country"] == 0).sum()),
        "species_sums": [float(value) for value in sums],
    }
