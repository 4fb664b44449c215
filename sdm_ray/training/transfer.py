"""Rare species from common ones: an embedding that common species teach, and on it a regression for each rare one."""

from dataclasses import replace

import numpy as np
import torch

from sdm_ray.evaluation.logistic import heads
from sdm_ray.models.species import SpeciesModel
from sdm_ray.stores.labels import SparseLabels
from sdm_ray.training import loop
from sdm_ray.training.few import FewLabels
from sdm_ray.training.finetune import Study
from sdm_ray.training.keepers import NoKeeper
from sdm_ray.training.ranks import Ranks
from sdm_ray.training.species import Table, embed
from sdm_ray.training.voice import Voice


def taught(study: Study, fold: int, rich: np.ndarray, ranks: Ranks) -> SpeciesModel:
    """A model that the rich species of a fold's training surveys have taught, and no other.

    Args:
        study: how it is trained.
        fold: that is held out.
        rich: species, (S,).
        ranks: who trains.
    """
    table, count = study.table, len(study.table.labels)
    nothing = SparseLabels(np.zeros(count + 1, np.int64), np.empty(0, np.int32), table.labels.n_species)
    labels = FewLabels(table.labels, nothing, np.zeros(count, bool), rich)
    known = replace(table, fetch=replace(table.fetch, labels=labels), background=None)
    fit = replace(study, table=known).fit_rows(fold, table.split(fold).train)
    return loop.run(fit, ranks, NoKeeper(), Voice()).objective.model


def predict(
    model: SpeciesModel, table: Table, few: tuple[FewLabels, np.ndarray], test: np.ndarray, ranks: Ranks
) -> np.ndarray:
    """Logits of all species from few occurrences on a model's embedding, as `map --from-embeddings` fits new ones.

    Args:
        model: whose embedding it is.
        table: the surveys.
        few: what is known, and the surveys that anything is known of.
        test: surveys to predict.
        ranks: who computes.

    Returns:
        float32 (len(test), S).
    """
    labels, rows = few
    z = torch.from_numpy(embed(model, table.fetch, rows, ranks))
    matrix, bias = heads(z, torch.from_numpy(labels.dense(rows)))
    return embed(model, table.fetch, test, ranks) @ matrix.numpy().T + bias.numpy()
