"""Rare species from common ones: an embedding learnt from common species, and on it a regression for each rare one."""

from dataclasses import replace

import numpy as np
import torch

from sdm_ray.baselines.logistic_regression import heads
from sdm_ray.models.distributed import Ranks
from sdm_ray.stores.labels import SparseLabels
from sdm_ray.training.compare.few_shot import FewLabels
from sdm_ray.training.engine import trainer
from sdm_ray.training.engine.checkpointing import NoCheckpointer
from sdm_ray.training.engine.execution import Execution
from sdm_ray.training.engine.reporting import Reporter
from sdm_ray.training.finetune.data import Table, embed
from sdm_ray.training.finetune.fits import FineTuning


def embedding(fits: FineTuning, fold: int, common: np.ndarray, ranks: Ranks) -> np.ndarray:
    """The embedding of all surveys by a model that learnt from the common species of a fold's training surveys alone.

    Args:
        fits: how it is trained.
        fold: that is held out.
        common: species, (S,).
        ranks: who trains.

    Returns:
        float32 (N, embedding).
    """
    table, count = fits.table, len(fits.table.labels)
    nothing = SparseLabels.none(count, table.labels.n_species)
    labels = FewLabels(table.labels, nothing, np.zeros(count, bool), common)
    known = replace(table, dataset=replace(table.dataset, labels=labels), background=None)
    config = fits.config
    if config.presence.background is not None:  # its losses need background places; all labels of the species are known
        presence = config.presence.model_copy(update={"loss": "bce", "background": None})
        config = config.model_copy(update={"presence": presence})
    fit = replace(fits, config=config, table=known).fit_rows(fold, table.split(fold).train)
    how = Execution.of(config.workers)
    model = trainer.run(fit, ranks, NoCheckpointer(), Reporter(), how).objective.model
    return embed(model, table.dataset, np.arange(count), ranks)


def predict(z: np.ndarray, table: Table, few: tuple[FewLabels, np.ndarray], test: np.ndarray) -> np.ndarray:
    """Logits of all species from few occurrences on an embedding, as `map --from-embeddings` fits new species.

    Args:
        z: of all surveys, float32 (N, embedding).
        table: the surveys, whose blocks choose the penalties.
        few: the labels that are known, and the surveys with any.
        test: surveys to predict.

    Returns:
        float32 (len(test), S).
    """
    labels, rows = few
    blocks = torch.from_numpy(table.block_of(rows))
    matrix, bias = heads(torch.from_numpy(z[rows]), torch.from_numpy(labels.dense(rows)), groups=blocks)
    logits: np.ndarray = z[test] @ matrix.numpy().T + bias.numpy()
    return logits
