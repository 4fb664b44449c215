"""Calibration for each set of inputs that a trained model predicts from.

Surveys may have photos, patches and time series that no cell of a map has. Logits from fewer inputs are less certain,
and a calibration fitted with all of them would leave a map's probabilities too sure. So each set has its own.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sdm_ray.metrics import calibration_fit
from sdm_ray.models.calibration import Calibration, name_of
from sdm_ray.models.species_model import SpeciesModel
from sdm_ray.streams.survey_dataset import SurveyDataset
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.data import Split, Table, alone, predict


def of_map(dataset: SurveyDataset) -> SurveyDataset | None:
    """The surveys with the inputs that a map may have; None where they have no others.

    A map reads windows of a tile cube, and never photos, patches of image shards or series.
    """
    return replace(dataset, shards=(), series={}) if dataset.shards or dataset.series else None


def datasets(dataset: SurveyDataset) -> dict[str, SurveyDataset]:
    """The surveys with all inputs (""), and with those of maps with and without a tile cube, by the set's name."""
    found = {"": dataset}
    if (bare := of_map(dataset)) is not None:
        found[name_of(["satellite"] if dataset.images is not None else [])] = bare
    if dataset.images is not None:
        found[name_of([])] = replace(dataset, shards=(), series={}, images=None)
    return found


def calibrations(config: FinetuneConfig, table: Table, model: SpeciesModel, split: Split) -> dict[str, Calibration]:
    """The calibration of a trained model for each set of inputs, fitted on the `calibrate` blocks.

    Args:
        config: of the job.
        table: the surveys.
        model: trained.
        split: what the surveys were used for.
    """
    logits = {
        name: predict(model, each, split.calibrate, alone(model)) for name, each in datasets(table.dataset).items()
    }
    labels = table.labels.dense(split.calibrate)
    return fit_each(config, logits, labels, offset_of(config, table, model, split.train))


def fit_each(
    config: FinetuneConfig, logits: Mapping[str, np.ndarray], labels: np.ndarray, offset: np.ndarray | None
) -> dict[str, Calibration]:
    """The calibration of each set's logits, (n, S), of surveys with these labels."""
    classes = config.model.output == "class"
    kind = config.calibration or ("temperature" if classes else "platt")
    return {
        name: calibration_fit.fit(kind, each, labels, classes=classes, offset=offset) for name, each in logits.items()
    }


def offset_of(config: FinetuneConfig, table: Table, model: SpeciesModel, train: np.ndarray) -> np.ndarray | None:
    """What the logits lack of each species' prevalence; None where presences and absences weigh as they come."""
    if config.probe is None and config.presence.balance == "none":
        return None
    present, absent = table.dataset.labels.counts(train)
    offset = calibration_fit.prevalence_offset(present, present + absent)
    return offset if model.ensemble_weight is None else offset * (1 - float(model.ensemble_weight))
