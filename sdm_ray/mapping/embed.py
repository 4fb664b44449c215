"""The job `embed`: the model's embedding of every wanted cell, from which any species can be mapped later.

The species head is linear in the embedding, so a map from embeddings needs neither imagery nor the towers; and a
species that the model never knew is fitted on it in seconds (`map` with `from_embeddings` and `occurrences`).
"""

from typing import Any

import numpy as np
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.windows import Tile, Window, whole
from sdm_ray.job import Job
from sdm_ray.mapping import plan, setup
from sdm_ray.mapping.cell_predictor import Predictor
from sdm_ray.mapping.config import EmbedConfig
from sdm_ray.mapping.region_mask import Area
from sdm_ray.mapping.tile import Work
from sdm_ray.mapping.tile_workers import do_tiles
from sdm_ray.progress import say
from sdm_ray.ray_runtime import connect
from sdm_ray.ray_tasks import run_tasks
from sdm_ray.stores import icechunk_repository, raster
from sdm_ray.stores.embeddings import Embeddings, EmbeddingSpec, create_embeddings, steps_of
from sdm_ray.stores.ledger import Ledger

_SQUARE = 1024  # cells along the side of the squares, anchored to the grid, that blocks are sampled from
_BLOCKS = 48


def run(config: EmbedConfig, job: Job) -> dict[str, Any]:
    """Embed every wanted cell; tiles that an interrupted attempt finished are not done again.

    Raises:
        InputError: the inputs do not fit each other, or tiles failed twice (all others are finished and kept).
    """
    work, attrs = setup.prepare_embedding(config, job.output, job.fingerprint)
    ledger = Ledger(job.output, job.fingerprint)
    done = ledger.finished() if job.resumed else set()
    todo = plan.make(work.area.grid, config.tile, work.area.wanted, done)
    say(f"embed: {todo.cells} cells in {len(todo.tiles)} tiles, of which {len(done)} done")
    if not todo.tiles:
        raise InputError(f"extent: no cell is wanted (cells: {config.cells}) in {list(work.area.grid.bounds)}")
    setup.start_version(config, job)
    connect()
    if not done:
        root = {"title": config.title, "sources": setup.sources(config), "sdm_ray": attrs | {"tile": config.tile}}
        inputs = tuple(job.inputs[name] for name in config.reads() if name in job.inputs)
        spec = EmbeddingSpec(steps_of(_sampled(work, config)), config.tile, work.layers, root, inputs)
        with icechunk_repository.changing(job.output, "nothing embedded yet"):
            create_embeddings(job.output, work.area.grid, spec)
    do_tiles(Embedder, work, todo, config.compute)
    raster.consolidate(job.output)
    totals: dict[str, Any] = ledger.totals(tile.id for tile in todo.tiles)[0]
    share = totals["clipped"] / max(totals["numbers"], 1)
    say(f"embed: {totals['cells']} cells; {share:.2%} of the numbers were clipped to the range of a byte")
    return {"cells": totals["cells"], "clipped_share": share} | icechunk_repository.publish(job.output)


class Embedder:
    """Does tiles, with the model loaded."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._predictor = Predictor(work.recipe)

    def do(self, tile: plan.PlannedTile) -> dict[str, Any]:
        """Embed and write a tile."""
        window, store = tile.window, Embeddings(UPath(self._work.output), writable=True)
        stored = store.empty(window)
        layers = {
            name: np.full((window.height, window.width), layer.fill, layer.dtype)
            for name, layer in self._work.layers.items()
        }
        figures = {"cells": 0, "clipped": 0, "numbers": 0}
        for cells in self._predictor.embed(self._work.area.grid, window, self._work.area.wanted(window), _one(window)):
            steps, clipped = store.encode(cells.embeddings[0].cpu().numpy())
            stored[:, cells.rows, cells.cols] = steps.T
            for name, values in (("inputs", cells.inputs), ("valid_scenes", cells.scenes)):
                if name in layers:
                    layers[name][cells.rows, cells.cols] = values
            for name, count in (("cells", len(steps)), ("clipped", clipped), ("numbers", steps.size)):
                figures[name] += count
        store.write(window, stored, layers)
        return figures


def _sampled(work: Work, config: EmbedConfig) -> np.ndarray:
    """Embeddings of some cells, (N, E), computed by a worker as the tiles will be: the driver may have no GPU.

    Raises:
        InputError: they cannot be computed.
    """
    ((_, sample, problem),) = run_tasks(_sample, [work], [Tile("sample", whole(work.area.grid))], config.compute)
    if problem is not None:
        raise InputError(f"{work.output}: a sample of cells could not be embedded: {problem}")
    return np.asarray(sample)


def _sample(shared: list[Work], _: Tile) -> np.ndarray:
    """Embeddings of some cells, (N, E): of compute blocks in squares of the grid, however the map is tiled."""
    (work,) = shared
    area, block = work.area, work.recipe.block
    squares = plan.make(area.grid, -(-_SQUARE // block) * block, area.wanted).tiles
    predictor, found = Predictor(work.recipe), []
    for square in _spread_over(squares, _BLOCKS):
        for window in _spread_over(_with_work(area, square.window, block), -(-_BLOCKS // len(squares))):
            cells = predictor.embed(area.grid, window, area.wanted(window), _one(window))
            found += [each.embeddings[0].cpu().numpy() for each in cells]
    return np.concatenate(found)


def _spread_over(items: list[Any], count: int) -> list[Any]:
    """At most so many of some items, evenly from the first to the last."""
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, count).round().astype(int))]


def _with_work(area: Area, window: Window, block: int) -> list[Window]:
    """A window's compute blocks that have a wanted cell."""
    wanted = area.wanted(window)
    blocks = plan.blocks(window, block)
    return [each for each in blocks if wanted[each.shifted(-window.row, -window.col).slices].any()]


def _one(window: Window) -> np.ndarray:
    """The model of all surveys for every cell."""
    return np.zeros((window.height, window.width), np.int16)
