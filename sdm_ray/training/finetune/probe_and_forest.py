"""What joins or replaces a fit's steps: a random forest in an ensemble with the network, or a head by regression."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from sdm_ray.baselines.logistic_regression import heads
from sdm_ray.models.distributed import ALONE, Ranks
from sdm_ray.streams.survey_dataset import SurveyDataset
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.data import Split, Table, embed
from sdm_ray.training.finetune.head_config import ProbeConfig
from sdm_ray.training.finetune.objective import PresenceLoss

Finish = Callable[[PresenceLoss, Ranks], None]
"""Gives a model what it is not trained with; called on every rank."""


def training_data(
    config: FinetuneConfig, table: Table, split: Split, grow: Callable[..., Any] | None, ranks: Ranks = ALONE
) -> tuple[SurveyDataset, Finish | None]:
    """The surveys that are trained on, with the labels to learn from, and how the model is finished.

    Args:
        config: of the job.
        table: all surveys.
        split: what they are used for.
        grow: how forests are grown; by default each anew.
        ranks: this process among the others, which are sent what rank 0 grows.

    Raises:
        InputError: there are too many labels for a forest.
    """
    dataset, rows = table.dataset, split.train
    if config.probe is not None:
        return dataset.subset(rows), _regression(config.probe, table, rows)
    if (ensemble := config.forest) is None:
        return dataset.subset(rows), None
    from sdm_ray.training.finetune.distillation import (  # scikit-learn: a second of every worker
        Joining,
        grown_by_first,
        joined,
    )

    places = None
    if table.background is not None and split.background is not None and config.presence.background != "target_group":
        places = table.background.subset(split.background)
    weight = ensemble.distillation(config.presence.loss)
    joining = Joining(ensemble, weight, config.model.location is not None, places)
    dataset, forest = joined(dataset, rows, joining, partial(grow or grown_by_first, ranks=ranks))
    if forest is None:
        return dataset.subset(rows), None
    return dataset.subset(rows), lambda objective, ranks: objective.model.set_forest(forest, ensemble.ensemble_weight)


def _regression(config: ProbeConfig, table: Table, rows: np.ndarray) -> Finish:
    """Fits the head on the embedding of some surveys; whole blocks of them choose the penalties."""
    dataset = table.dataset

    def finish(objective: PresenceLoss, ranks: Ranks) -> None:
        z = torch.from_numpy(embed(objective.model.eval(), dataset, rows, ranks))
        labels, blocks = torch.from_numpy(dataset.labels.dense(rows)), torch.from_numpy(table.block_of(rows))
        objective.model.set_head(*heads(z, labels, config.ridge, blocks))

    return finish
