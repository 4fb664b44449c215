"""What a fit has beside its steps: a forest that teaches and votes, or, instead of steps, a head by regression."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from sdm_ray.baselines.logistic_regression import heads
from sdm_ray.models.distributed import Ranks
from sdm_ray.streams.survey_dataset import SurveyDataset
from sdm_ray.training.finetune.config import FinetuneConfig, ProbeConfig
from sdm_ray.training.finetune.data import embed
from sdm_ray.training.finetune.objective import PresenceLoss

Finish = Callable[[PresenceLoss, Ranks], None]
"""Gives a model what it is not trained with; called on every rank."""


def frozen_location_features(
    config: FinetuneConfig, dataset: SurveyDataset, rows: np.ndarray, grow: Callable[..., Any] | None
) -> tuple[SurveyDataset, Finish | None]:
    """The surveys that are trained on, with what they are to teach, and how the model is finished.

    Args:
        config: of the job.
        dataset: all surveys.
        rows: numbers of the surveys that are trained on, ascending.
        grow: how forests are grown; by default each anew.

    Raises:
        InputError: there are too many labels for a forest.
    """
    if config.probe is not None:
        return dataset.subset(rows), _regression(config.probe, dataset, rows)
    if (companion := config.forest) is None:
        return dataset.subset(rows), None
    from sdm_ray.training.finetune.distillation import grown, taught  # scikit-learn, a second of every worker otherwise

    located = config.model.location is not None
    dataset, forest = taught(dataset, rows, companion, grow or grown, located=located)
    if forest is None:
        return dataset.subset(rows), None
    return dataset.subset(rows), lambda objective, ranks: objective.model.set_forest(forest, companion.ensemble_weight)


def _regression(config: ProbeConfig, dataset: SurveyDataset, rows: np.ndarray) -> Finish:
    """Fits the head on what the model makes of some surveys."""

    def finish(objective: PresenceLoss, ranks: Ranks) -> None:
        z = torch.from_numpy(embed(objective.model.eval(), dataset, rows, ranks))
        objective.model.set_head(*heads(z, torch.from_numpy(dataset.labels.dense(rows)), config.ridge))

    return finish
