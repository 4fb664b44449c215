"""Epochs and calibration from all folds together, where one fold has few surveys to choose and calibrate by.

Each fold's model predicts the surveys that it never saw. What suits these predictions of the *other* folds is taken for
a fold, so that its own held-out surveys have no say in it; for the model of everything all folds count. That is
cross-validation, and calibration on out-of-fold predictions (Platt 1999, section 2.1).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from upath import UPath

from sdm_ray.model_io import LoadedModel, describe_species, load_species_model
from sdm_ray.models.calibration import Calibration
from sdm_ray.stores.weights import save_weights
from sdm_ray.training.finetune import input_sets
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.data import Table, alone, predict

History = Sequence[Mapping[str, float]]


def best_epoch(histories: Sequence[History], goal: str) -> int:
    """The epoch with the highest mean of a figure over the folds; the last where it is not known in any.

    Args:
        histories: of each fold, the figures of each epoch, all of one length.
        goal: name of the figure.
    """
    figures = np.array([[epoch.get(goal, np.nan) for epoch in each] for each in histories])
    figures = figures[np.isfinite(figures).all(axis=1)]  # folds whose surveys tell epochs apart
    return int(figures.mean(axis=0).argmax()) + 1 if figures.size else len(histories[0])


def calibrate(config: FinetuneConfig, table: Table, folders: Sequence[UPath]) -> dict[str, Calibration]:
    """Calibrate the model of each fold by the predictions of the others; returns that of all folds, by set of inputs.

    Args:
        config: of the job.
        table: the surveys.
        folders: of the folds' models, which are written anew.
    """
    rows = [table.held_out(fold) for fold in range(len(folders))]
    fold_of = np.repeat(np.arange(len(rows)), [len(each) for each in rows])
    labels = table.labels.dense(np.concatenate(rows))
    parts: dict[str, list[np.ndarray]] = {}
    for folder, own in zip(folders, rows, strict=True):
        model = load_species_model(folder).model
        for name, dataset in input_sets.datasets(table.dataset).items():
            parts.setdefault(name, []).append(predict(model, dataset, own, alone(model)))
    logits = {name: np.concatenate(each) for name, each in parts.items()}
    for fold, folder in enumerate(folders):
        others = fold_of != fold
        loaded = load_species_model(folder)
        offset = input_sets.offset_of(config, table, loaded.model, table.split(fold).train)
        chosen = {name: each[others] for name, each in logits.items()}
        _write(folder, loaded, input_sets.fit_each(config, chosen, labels[others], offset))
    offset = input_sets.offset_of(config, table, loaded.model, np.arange(len(table.labels)))
    return input_sets.fit_each(config, logits, labels, offset)


def _write(folder: UPath, loaded: LoadedModel, calibrated: Mapping[str, Calibration]) -> None:
    for name, each in calibrated.items():
        loaded.model.set_calibration(each, name)
    save_weights(folder, loaded.model.state_dict(), describe_species(loaded.about), loaded.species, loaded.metrics)
