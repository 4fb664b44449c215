"""Cells whose embeddings are read from a store instead of computed, and species fitted on them."""

import numpy as np
import torch
from upath import UPath

from sdm_ray.baselines.logistic_regression import heads
from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid, to_xy
from sdm_ray.geo.windows import Window
from sdm_ray.mapping.quality_layers import SCENES
from sdm_ray.mapping.region_mask import offset
from sdm_ray.models.species_losses import UNKNOWN
from sdm_ray.progress import say
from sdm_ray.stores.embeddings import Embeddings
from sdm_ray.stores.surveys import labels_of, read_surveys

_BACKGROUND = 10_000  # cells that occurrences are compared with


class Embedded:
    """The embeddings of one tile at a time.

    Args:
        path: the store.
        grid: of the map, a window of the store's.
    """

    def __init__(self, path: UPath, grid: Grid) -> None:
        self._store = Embeddings(path)
        self._offset = offset(self._store.grid, grid)
        self._stored = np.empty((0, 0, 0), np.int8)
        self._inputs = self._scenes = np.empty((0, 0), np.uint8)

    def hold(self, window: Window) -> None:
        """Read a window of the map's grid."""
        there = window.shifted(*self._offset)
        self._stored, self._inputs = self._store.read(there), self._store.layer("inputs", there)
        (scenes,) = SCENES
        self._scenes = self._store.layer(scenes, there) if self.with_cube else np.zeros_like(self._inputs)

    @property
    def with_cube(self) -> bool:
        """Whether the cells were embedded with windows of a tile cube."""
        return self._store.has_layer(*SCENES)

    def cells(self, rows: np.ndarray, cols: np.ndarray) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
        """Embeddings (N, E), the bits of `inputs` and the number of scenes of cells of the window held.

        Raises:
            InputError: a cell was not embedded.
        """
        inputs = self._inputs[rows, cols]
        if (inputs == 0).any():
            raise InputError(
                f"{self._store.path}: holds {(inputs > 0).sum()} of {len(inputs)} wanted cells; embed all that is"
                " to be mapped"
            )
        z = self._store.decode(self._stored[:, rows, cols])
        return torch.from_numpy(z), inputs, self._scenes[rows, cols]


def fit_species(embeddings: UPath, occurrences: UPath, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logistic regressions on the embedding, each species' occurrences against a background of cells drawn at random.

    Presences weigh as much as the background, so that an answer is a relative suitability. Surveys outside embedded
    cells do not count, and are reported.

    Args:
        embeddings: the store.
        occurrences: surveys whose species are wanted.
        seed: of the background.

    Returns:
        A matrix (S, E) and a bias (S,), float32, of logits.

    Raises:
        InputError: a species has no occurrence in an embedded cell.
    """
    store = Embeddings(embeddings)
    surveys, species = read_surveys(occurrences)
    rows, cols = store.grid.cell(*to_xy(surveys["lon"].to_numpy(), surveys["lat"].to_numpy()))
    inside = store.grid.contains(rows, cols)
    z = np.full((len(rows), len(store.scale)), np.nan, np.float32)
    z[inside] = store.read_cells(rows[inside], cols[inside])
    known = np.asarray(np.isfinite(z).all(axis=1))
    if not known.all():
        say(f"  {int((~known).sum())} of {len(known)} surveys of {occurrences} lie in no embedded cell: left out")
    labels = labels_of(surveys, species).dense(np.flatnonzero(known))
    if (lost := labels.sum(axis=0) == 0).any():
        raise InputError(f"{occurrences}: {species['name'][lost.argmax()]} has no occurrence in an embedded cell")
    background = _draw(store, seed)
    present = np.where(labels == 1, np.uint8(1), np.uint8(UNKNOWN))
    every = np.concatenate([present, np.zeros((len(background), len(species)), np.uint8)])
    matrix, bias = heads(torch.from_numpy(np.concatenate([z[known], background])), torch.from_numpy(every))
    return matrix.numpy(), bias.numpy()


def _draw(store: Embeddings, seed: int) -> np.ndarray:
    """Embeddings of cells drawn at random, (N, E)."""
    rows, cols = np.nonzero(store.layer("inputs"))
    if not len(rows):
        raise InputError(f"{store.path}: holds no embedded cell")
    chosen = np.random.default_rng(seed).choice(len(rows), min(_BACKGROUND, len(rows)), replace=False)
    return store.read_cells(rows[chosen], cols[chosen])
