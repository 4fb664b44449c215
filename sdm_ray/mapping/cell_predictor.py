"""Embeddings and species probabilities of the cells of a window, from models that are loaded once per process."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from upath import UPath

from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.geo.windows import Window
from sdm_ray.mapping import plan
from sdm_ray.mapping.cell_sources import Sources
from sdm_ray.mapping.feature_grid import Blending, Lattice
from sdm_ray.mapping.from_embeddings import Embedded
from sdm_ray.mapping.patch_batches import Imagery, Pixels
from sdm_ray.mapping.quality_layers import COVARIATES, LOCATION, SATELLITE
from sdm_ray.mapping.scenario import ChangedCovariates, Scenario
from sdm_ray.model_io import load_species_model
from sdm_ray.models.batch import inputs_of, uses_covariates
from sdm_ray.stores.covariates import Covariates
from sdm_ray.streams.prefetch import prefetch


@dataclass(frozen=True)
class Recipe:
    """What to predict with; small and picklable.

    Attributes:
        model: model folder.
        species: numbers of the species to predict, None for all.
        folds: how many fold models to use, each for the cells that it never saw; 0: the one of all surveys.
        members: how many fold models to use beside the one of all surveys, to see how far they differ.
        covariates: covariate store, where the model has covariates.
        cube: tile cube, where the model has a satellite tower and there is one.
        stride: metres between the patches that features are blended from; None for a patch at each cell.
        embeddings: store to read embeddings from instead of computing them.
        heads: matrix (S, E) and bias (S,) of the logits of species that the model does not know, instead of its own.
        block: cells along the side of a compute block.
        threads: torch threads.
        gpu: whether to compute on a GPU.
        memory: bytes of the cube held at once.
        scenarios: what changes in each scenario of the map; None where nothing does.
    """

    model: str
    species: tuple[int, ...] | None
    folds: int
    members: int
    covariates: str | None
    cube: str | None
    stride: float | None
    embeddings: str | None
    heads: tuple[np.ndarray, np.ndarray] | None
    block: int
    threads: int
    gpu: bool
    memory: int
    scenarios: tuple[Scenario | None, ...] = (None,)


@dataclass(frozen=True)
class Cells:
    """The wanted cells of one compute block that one model is for.

    Attributes:
        rows: row of each in the window that was asked for, (N,).
        cols: column of each, (N,).
        embeddings: by each model that predicts them, first the one that is mapped; float32 (N, embedding) each.
        model: number of the first of these models.
        inputs: what was known of each: bits LOCATION, COVARIATES, SATELLITE; uint8 (N,).
        covariates: the model's covariates, NaN where unknown, of the store's cells that these lie in;
            float32 (U, C).
        covariates_of: row of `covariates` that each has, (N,).
        scenes: valid scenes behind the centre of each, uint8 (N,); None without a cube.
    """

    rows: np.ndarray
    cols: np.ndarray
    embeddings: list[torch.Tensor]
    model: int
    inputs: np.ndarray
    covariates: np.ndarray
    covariates_of: np.ndarray
    scenes: np.ndarray | None


@dataclass(frozen=True)
class View:
    """The wanted cells of a window of a map.

    Attributes:
        grid: the map's grid.
        window: of it.
        wanted: mask of the window, bool (height, width).
    """

    grid: Grid
    window: Window
    wanted: np.ndarray

    def cells(self, part: Window) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns, within the window, of the wanted cells of a part of it."""
        own = part.shifted(-self.window.row, -self.window.col)
        rows, cols = np.nonzero(self.wanted[own.slices])
        return rows + own.row, cols + own.col

    def centre(self, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Metres east and north of cells of the window."""
        return self.grid.centre(rows + self.window.row, cols + self.window.col)


class Predictor:
    """The models and the open stores that they read."""

    def __init__(self, recipe: Recipe) -> None:
        torch.set_num_threads(recipe.threads)
        self._recipe = recipe
        self._device = torch.device("cuda" if recipe.gpu else "cpu")
        folds: list[int | None] = [None, *range(recipe.members)] if not recipe.folds else [*range(recipe.folds)]
        loaded = [load_species_model(UPath(recipe.model), fold) for fold in folds]
        about = loaded[0].about
        self._config = about.config
        self._models = [each.model.to(self._device) for each in loaded]
        self._stored: list[int] | slice = slice(None)  # columns of stored embeddings that are looked at
        if recipe.species is not None:
            self._stored = self._models[0].columns_of(list(recipe.species))
            for model in self._models:
                model.keep_species(list(recipe.species))
        self._covariates: list[Covariates | ChangedCovariates] = []  # of each scenario
        if recipe.covariates is not None:
            store = Covariates(UPath(recipe.covariates)).select(self._config.covariates)
            self._covariates = [store if each is None else ChangedCovariates(store, each) for each in recipe.scenarios]
        self._embedded: Embedded | None = None
        self._imagery = self._blending = None
        if recipe.cube is not None and about.satellite is not None:
            images, half = about.satellite, recipe.memory // 2  # one region is read while the model sees another
            self._imagery = Imagery(UPath(recipe.cube), images.bands, images.size, half, images.season)
            if recipe.stride is not None:
                towers = [model.get_submodule("satellite") for model in self._models]
                self._blending = Blending(Lattice(recipe.stride), towers, self._device)

    def embed(
        self, grid: Grid, window: Window, wanted: np.ndarray, fold: np.ndarray, scenario: int = 0
    ) -> Iterator[Cells]:
        """Embed the wanted cells of a window, compute block by compute block.

        A block's wanted cells, in row order, are one batch (with fold models: one batch per fold), whatever the
        window: the answer does not depend on how the map was cut into tiles.

        Args:
            grid: the map's grid.
            window: the cells asked for; it starts on a block edge.
            wanted: mask, bool (height, width).
            fold: which of the models is for which cell, int (height, width).
            scenario: number of the recipe's scenario.
        """
        covariates = self._covariates[scenario] if self._covariates else None
        if self._recipe.embeddings is not None:
            self._embedded = Embedded(UPath(self._recipe.embeddings), grid)
            self._embedded.hold(window)
        if self._blending is not None:
            self._blending.forget()
        view = View(grid, window, wanted)
        for part, pixels in self._parts(view):
            for block in plan.blocks(part, self._recipe.block):
                rows, cols = view.cells(block)
                number = fold[rows, cols]
                for each in np.unique(number):
                    chosen = number == each
                    sources = Sources(covariates, pixels)
                    yield self._block(view, (rows[chosen], cols[chosen]), int(each), sources)

    def probabilities(self, cells: Cells, species: slice) -> list[np.ndarray]:
        """Probabilities (K, N) of K species in embedded cells, by each of the models that embedded them."""
        if self._recipe.heads is not None:
            matrix, bias = (torch.tensor(each[species]) for each in self._recipe.heads)
            (z,) = cells.embeddings
            return [torch.sigmoid(torch.addmm(bias[:, None], matrix, z.cpu().T)).numpy()]
        models = [self._models[cells.model], *self._models[1 : len(cells.embeddings)]]
        with torch.inference_mode():
            return [
                model.probabilities_of(z, species, self._given).float().cpu().numpy()
                for model, z in zip(models, cells.embeddings, strict=True)
            ]

    @property
    def _given(self) -> list[str]:
        """The images that the cells were embedded with."""
        if self._embedded is not None:
            return ["satellite"] if self._embedded.with_cube else []
        return [] if self._imagery is None else ["satellite"]

    def _parts(self, view: View) -> Iterator[tuple[Window, Pixels | None]]:
        """Parts of a window whose imagery fits in memory; that of the next is read while one is looked at."""
        parts = list(plan.split(view.window, self._recipe.block, lambda part: self._fits(view, part)))
        if self._imagery is None:
            yield from ((part, None) for part in parts)
            return
        with closing(prefetch((partial(self._read, view, part) for part in parts), 1)) as regions:
            yield from zip(parts, regions, strict=True)

    def _block(self, view: View, at: tuple[np.ndarray, np.ndarray], number: int, sources: Sources) -> Cells:
        rows, cols = at
        x, y = view.centre(rows, cols)
        values, known, which = self._values(sources.covariates, x, y)
        shown = np.where(known, values, np.float32(np.nan))
        if self._embedded is not None:
            z, stored, count = self._embedded.cells(rows, cols)
            return Cells(rows, cols, [z[:, self._stored].to(self._device)], number, stored, shown, which, count)
        images = scenes = None
        if self._imagery is not None and sources.pixels is not None:
            scenes = self._imagery.scenes(*sources.image_places(x, y)[:2])
            images = sources.patches(x, y) if self._blending is None else None
        lonlat = np.column_stack(to_lonlat(x, y))
        batch = inputs_of(self._config, lonlat, values, known, images, covariates_of=which)
        batch = {name: part.to(self._device) for name, part in batch.items()}
        embeddings = []
        for each in [number, *range(1, len(self._models))] if self._recipe.members else [number]:
            if self._blending is not None and sources.pixels is not None:
                features, seen = sources.features(self._blending, each, x, y)
                batch |= {"features_satellite": features, "has_satellite": torch.from_numpy(seen).to(self._device)}
            with torch.inference_mode():
                embeddings.append(self._models[each].embed(batch).float())
        inputs = np.full(len(x), LOCATION, np.uint8)
        inputs[uses_covariates(self._config, known)[which]] |= COVARIATES
        if "has_satellite" in batch:
            inputs[batch["has_satellite"].cpu().numpy()] |= SATELLITE
        return Cells(rows, cols, embeddings, number, inputs, shown, which, scenes)

    def _values(
        self, covariates: Covariates | ChangedCovariates | None, x: np.ndarray, y: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The model's covariates (U, C), 0 where unknown, which are known (U, C), and the row of each cell.

        A block's cells that share a cell of the covariate store share what the model and similarity make of it.
        """
        if covariates is None:
            nothing = np.zeros((1, len(self._config.covariates)), np.float32)
            return nothing, np.zeros_like(nothing, bool), np.zeros(len(x), int)
        values, known, which = covariates.distinct(x, y)
        return values, known, which

    def _fits(self, view: View, part: Window) -> bool:
        if self._imagery is None:
            return True
        places = self._looked_at(view, part)
        return places is None or self._imagery.fits(*places)

    def _read(self, view: View, part: Window) -> Pixels | None:
        places = self._looked_at(view, part)
        return None if self._imagery is None or places is None else self._imagery.read(*places)

    def _looked_at(self, view: View, part: Window) -> tuple[np.ndarray, np.ndarray] | None:
        """Centres of the patches that a part's wanted cells need; None where no cell is wanted."""
        rows, cols = view.cells(part)
        if not len(rows):
            return None
        places = view.centre(rows, cols)
        return places if self._blending is None else self._blending.looked_at(*places)
