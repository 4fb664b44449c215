"""Species probabilities of the cells of a window, from models that are loaded once per process."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from upath import UPath

from sdm_ray.folders import load_species_model
from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.geo.windows import Window
from sdm_ray.mapping import plan
from sdm_ray.mapping.imagery import Imagery
from sdm_ray.mapping.layers import COVARIATES, LOCATION, SATELLITE
from sdm_ray.models.species import inputs_of
from sdm_ray.stores.covariates import Covariates


@dataclass(frozen=True)
class Recipe:
    """What to predict with; small and picklable.

    Attributes:
        model: model folder.
        folds: how many fold models to use, each for the cells that it never saw; 0: the one of all surveys.
        covariates: covariate store, where the model has covariates.
        cube: tile cube, where the model has a satellite tower and there is one.
        block: cells along the side of a compute block.
        threads: torch threads.
        gpu: whether to compute on a GPU.
        memory: bytes of the cube held at once.
    """

    model: str
    folds: int
    covariates: str | None
    cube: str | None
    block: int
    threads: int
    gpu: bool
    memory: int


@dataclass(frozen=True)
class Cells:
    """Predicted cells.

    Attributes:
        rows: row of each in the window that was asked for, (N,).
        cols: column of each, (N,).
        probabilities: float32 (N, S).
        inputs: what was known of each: bits LOCATION, COVARIATES, SATELLITE; uint8 (N,).
    """

    rows: np.ndarray
    cols: np.ndarray
    probabilities: np.ndarray
    inputs: np.ndarray


class Predictor:
    """The models and the open stores that they read."""

    def __init__(self, recipe: Recipe) -> None:
        torch.set_num_threads(recipe.threads)
        self._recipe = recipe
        self._device = torch.device("cuda" if recipe.gpu else "cpu")
        folder = UPath(recipe.model)
        loaded = [load_species_model(folder, fold) for fold in (range(recipe.folds) if recipe.folds else [None])]
        self._models = [each.model.to(self._device) for each in loaded]
        about = loaded[0].about
        self._config = about.config
        self._covariates = None
        if recipe.covariates is not None:
            self._covariates = Covariates(UPath(recipe.covariates))
            self._columns = [self._covariates.names.index(name) for name in self._config.covariates]
        self._imagery = None
        if recipe.cube is not None and about.satellite is not None:
            images = about.satellite
            self._imagery = Imagery(UPath(recipe.cube), images.bands, images.size, recipe.memory, images.season)

    def predict(self, grid: Grid, window: Window, wanted: np.ndarray, fold: np.ndarray) -> Iterator[Cells]:
        """Predict the wanted cells of a window, compute block by compute block.

        A block's wanted cells, in row order, are one batch (with fold models: one batch per fold), whatever the
        window: the answer does not depend on how the map was cut into tiles.

        Args:
            grid: the map's grid.
            window: the cells asked for; it starts on a block edge.
            wanted: mask, bool (height, width).
            fold: which of the models is for which cell, int (height, width).
        """
        for part in plan.split(window, self._recipe.block, lambda each: self._fits(grid, window, each, wanted)):
            self._hold(grid, window, part, wanted)
            for block in plan.blocks(part, self._recipe.block):
                rows, cols = _cells(window, block, wanted)
                if len(rows):
                    x, y = grid.centre(rows + window.row, cols + window.col)
                    yield Cells(rows, cols, *self._block(x, y, fold[rows, cols]))

    def _block(self, x: np.ndarray, y: np.ndarray, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities (N, S) and the bits of `inputs` (N,) of the cells of one block."""
        parts: list[np.ndarray] = []
        order: list[np.ndarray] = []
        inputs = np.empty(len(x), np.uint8)
        for number in np.unique(fold):
            chosen = np.flatnonzero(fold == number)
            batch, inputs[chosen] = self._batch(x[chosen], y[chosen])
            with torch.inference_mode():
                parts.append(self._models[number].probabilities(batch).float().cpu().numpy())
            order.append(chosen)
        if len(parts) == 1:
            return parts[0], inputs
        out = np.empty((len(x), parts[0].shape[1]), np.float32)
        out[np.concatenate(order)] = np.concatenate(parts)
        return out, inputs

    def _batch(self, x: np.ndarray, y: np.ndarray) -> tuple[dict[str, torch.Tensor], np.ndarray]:
        values, known = np.zeros((len(x), len(self._config.covariates)), np.float32), np.zeros(len(x), bool)
        if self._covariates is not None:
            values, known = self._covariates.at(x, y)
            values = values[:, self._columns]
        images = None if self._imagery is None else self._imagery.patches(x, y)
        batch = inputs_of(self._config, np.column_stack(to_lonlat(x, y)), values, known, images)
        inputs = np.full(len(x), LOCATION, np.uint8)
        for bit, name in ((COVARIATES, "has_covariates"), (SATELLITE, "has_satellite")):
            if name in batch:
                inputs[batch[name].numpy()] |= bit
        return {name: part.to(self._device) for name, part in batch.items()}, inputs

    def _fits(self, grid: Grid, window: Window, part: Window, wanted: np.ndarray) -> bool:
        if self._imagery is None:
            return True
        rows, cols = _cells(window, part, wanted)
        return not len(rows) or self._imagery.fits(*grid.centre(rows + window.row, cols + window.col))

    def _hold(self, grid: Grid, window: Window, part: Window, wanted: np.ndarray) -> None:
        if self._imagery is None:
            return
        rows, cols = _cells(window, part, wanted)
        if len(rows):
            self._imagery.hold(*grid.centre(rows + window.row, cols + window.col))


def _cells(window: Window, part: Window, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns, within `window`, of the wanted cells of a part of it."""
    row, col = part.row - window.row, part.col - window.col
    rows, cols = np.nonzero(wanted[row : row + part.height, col : col + part.width])
    return rows + row, cols + col
