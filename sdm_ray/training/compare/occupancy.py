"""Probabilities whose mean is an occupancy, from what a way predicts and how it weighed presences."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from sdm_ray.baselines.config import BaselineConfig, LogisticConfig, MaxentConfig
from sdm_ray.metrics.calibration_fit import prevalence_offset
from sdm_ray.models.species_model import SpeciesModel
from sdm_ray.stores.labels import SparseLabels
from sdm_ray.training.finetune import input_sets
from sdm_ray.training.finetune.fits import FineTuning

_SMALLEST = 1e-7  # of a probability whose logit is taken


def of_method(
    fits: FineTuning, model: SpeciesModel, logits: NDArray[np.float32], train: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    """Probabilities (n, S) of a species model; None of a loss whose logits are of no known prevalence.

    Args:
        fits: how it was trained.
        model: trained.
        logits: as `finetune.data.predict` gives them, of classes log-probabilities, (n, S).
        train: numbers of the surveys that it was trained on.
    """
    if fits.config.model.output == "class":
        return np.exp(logits)
    if fits.config.presence.loss == "asymmetric" and fits.config.probe is None:
        return None
    offset = input_sets.offset_of(fits.config, fits.table, model, train)
    found: NDArray[np.float32] = expit(logits if offset is None else logits + offset.astype(np.float32))
    return found


def of_baseline(
    config: BaselineConfig, predictions: NDArray[np.float32], labels: SparseLabels, rows: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    """Probabilities (n, S) of a baseline; None of MaxEnt, whose predictions are relative.

    Args:
        config: of the baseline.
        predictions: of it, (n, S).
        labels: of all surveys.
        rows: numbers of the surveys that it was fitted on.
    """
    if isinstance(config, MaxentConfig):
        return None
    if not isinstance(config, LogisticConfig):
        return predictions
    offset = prevalence_offset(labels.counts(rows)[0], np.full(labels.n_species, len(rows)))
    shifted = logit(predictions.astype(np.float64).clip(_SMALLEST, 1 - _SMALLEST)) + offset
    probability: np.ndarray = expit(shifted).astype(np.float32)
    return probability
