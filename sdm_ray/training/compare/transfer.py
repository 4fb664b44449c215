"""Rare species from common ones: an embedding that common species teach, and on it a regression for each rare one."""

from dataclasses import replace

import numpy as np
import torch

from sdm_ray.baselines.logistic_regression import heads
from sdm_ray.models.distributed import Ranks
from sdm_ray.stores.labels import SparseLabels
from sdm_ray.training.compare.few_shot import FewLabels
from sdm_ray.training.engine import trainer
from sdm_ray.training.engine.checkpointing import NoCheckpointer
from sdm_ray.training.engine.reporting import Reporter
from sdm_ray.training.finetune.data import embed
from sdm_ray.training.finetune.job import Study


def embedding(study: Study, fold: int, common: np.ndarray, ranks: Ranks) -> np.ndarray:
    """What a model makes of all surveys that the rich species of a fold's training surveys have taught, and no other.

    Args:
        study: how it is trained.
        fold: that is held out.
        common: species, (S,).
        ranks: who trains.

    Returns:
        float32 (N, embedding).
    """
    table, count = study.table, len(study.table.labels)
    nothing = SparseLabels.none(count, table.labels.n_species)
    labels = FewLabels(table.labels, nothing, np.zeros(count, bool), common)
    known = replace(table, dataset=replace(table.dataset, labels=labels), background=None)
    fit = replace(study, table=known).fit_rows(fold, table.split(fold).train)
    model = trainer.run(fit, ranks, NoCheckpointer(), Reporter()).objective.model
    return embed(model, table.dataset, np.arange(count), ranks)


def predict(z: np.ndarray, few: tuple[FewLabels, np.ndarray], test: np.ndarray) -> np.ndarray:
    """Logits of all species from few occurrences on an embedding, as `map --from-embeddings` fits new species.

    Args:
        z: of all surveys, float32 (N, embedding).
        few: what is known, and the surveys that anything is known of.
        test: surveys to predict.

    Returns:
        float32 (len(test), S).
    """
    labels, rows = few
    matrix, bias = heads(torch.from_numpy(z[rows]), torch.from_numpy(labels.dense(rows)))
    return z[test] @ matrix.numpy().T + bias.numpy()
