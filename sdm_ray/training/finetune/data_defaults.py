"""Settings that follow the data where a configuration leaves them open: blocks, batch, epochs, pooling."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sdm_ray.geo.blocks import Blocks, block_id
from sdm_ray.model_io import load_encoder, read_species_folder
from sdm_ray.progress import say
from sdm_ray.stores.labels import SparseLabels
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.head_config import MOST_LABELS, MOST_SPECIES, EnsembleConfig

SIZES_M = (100_000.0, 50_000.0, 20_000.0, 10_000.0, 5_000.0, 2_000.0, 1_000.0)
"""Sides of blocks to choose from, the largest first."""
_BLOCKS = 100  # with surveys in them, which are enough for folds that are alike
_ROWS_A_BLOCK = 10  # surveys; where there are few surveys, fewer blocks are enough
_STEPS_AN_EPOCH, _STEPS = 40, 1000
_EPOCHS, _MOST_EPOCHS = 25, 100
_BATCHES = (32, 1024)
ENOUGH = 200
"""Surveys that are enough to choose an epoch by, and to calibrate on."""


def blocks_of(config: FinetuneConfig, x: NDArray[np.float64], y: NDArray[np.float64], reach_m: float = 0.0) -> Blocks:
    """The blocks of a configuration, else those of what it starts from, else of a size that suits the surveys.

    Blocks that suit the surveys have a buffer as wide as the windows of training surveys reach: without one these show
    the edges of held-out blocks. Where the model reads no windows there is none: a buffer costs surveys, and how far
    neighbours resemble each other differs from study to study.

    Args:
        config: of the job.
        x: of the surveys, EPSG:3035 metres, (N,).
        y: EPSG:3035 metres, (N,).
        reach_m: how far around a survey the model sees, metres.
    """
    if config.blocks is not None:
        if config.blocks.buffer_m < reach_m:
            say(
                f"  windows reach {reach_m:g} m, across edges of blocks; `blocks.buffer_m: {reach_m:g}` keeps those of"
                " training surveys out of held-out blocks"
            )
        return config.blocks
    if config.encoder is not None:
        return load_encoder(config.path(config.encoder)).blocks
    if config.start is not None:
        return read_species_folder(config.path(config.start)).blocks
    found = suggested_blocks(x, y)
    return replace(found, buffer_m=min(reach_m, found.size_m))


def suggested_blocks(x: NDArray[np.float64], y: NDArray[np.float64]) -> Blocks:
    """Blocks of the largest size of which enough hold surveys, (N,) each."""
    wanted = min(_BLOCKS, max(2 * Blocks().folds, len(x) // _ROWS_A_BLOCK))
    for size in SIZES_M:
        found = Blocks(size_m=size)
        if len(np.unique(block_id(x, y, found))) >= wanted:
            break
    return found


def suggested_batch(rows: int) -> int:
    """A power of two that gives some 40 steps an epoch."""
    return min(_BATCHES[1], max(_BATCHES[0], 1 << round(math.log2(max(1, rows / _STEPS_AN_EPOCH)))))


def suggested_epochs(steps: int) -> int:
    """Epochs of so many steps that are enough for a network to learn."""
    return min(_MOST_EPOCHS, max(_EPOCHS, -(-_STEPS // steps)))


def resolved(config: FinetuneConfig, blocks: Blocks, rows: int) -> FinetuneConfig:
    """The configuration with what it leaves open.

    Args:
        config: of the job.
        blocks: how places are held out.
        rows: surveys, of which the share outside the held-out fold is trained on.
    """
    optim, trained = config.optim, rows * (blocks.folds - 1) // blocks.folds
    batch = optim.batch or suggested_batch(trained)
    steps = optim.steps_per_epoch or max(1, round(trained / batch))
    epochs = optim.epochs or suggested_epochs(steps)
    return config.model_copy(
        update={"blocks": blocks, "optim": optim.model_copy(update={"batch": batch, "epochs": epochs})}
    )


def for_presence_only(config: FinetuneConfig, labels: SparseLabels) -> FinetuneConfig:
    """The configuration with a forest, unless it says whether there is one, or none is possible.

    On presence-only records of Switzerland (30 species), scored on surveys of presence and absence, target-group
    absences with a forest come to an AUC of .853 to .859; maximum entropy and assumed negatives to .836 to .841.

    Args:
        config: of the job, on presence-only surveys.
        labels: of the surveys.
    """
    possible = config.model.output == "species" and config.probe is None and config.presence.loss == "bce"
    featured = config.model.location is not None or config.has_covariates
    small = labels.n_species <= MOST_SPECIES and len(labels) * labels.n_species <= MOST_LABELS
    if "forest" in config.model_fields_set or not (possible and featured and small):
        return config
    return config.model_copy(update={"forest": EnsembleConfig()})
