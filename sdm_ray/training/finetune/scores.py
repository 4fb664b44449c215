"""How well logits of a species model agree with what surveys hold."""

import numpy as np

from sdm_ray.metrics.ranking import auc
from sdm_ray.stores.labels import SparseLabels


def prevalence_scores(labels: SparseLabels, train: np.ndarray, rows: np.ndarray) -> dict[str, float]:
    """Cross-entropy on some surveys of the prevalence of each species among those that were trained on."""
    if not len(rows):
        return {}
    present, absent = labels.counts(train)
    logit = np.log(present + 0.5) - np.log(absent + 0.5)
    return {"prevalence_bce": scores_of(np.tile(logit, (len(rows), 1)), labels.dense(rows))["bce"]}


def scores_of(logits: np.ndarray, labels: np.ndarray, *, classes: bool = False) -> dict[str, float]:
    """Macro AUC of species with presences and absences, and cross-entropy; of classes likelihood and accuracy.

    Args:
        logits: (n, S); of classes logarithms of their probabilities.
        labels: 0 or 1, (n, S).
        classes: whether each row holds exactly one.
    """
    each = auc(labels, logits)
    counted = np.isfinite(each)
    found = {"auc": float(each[counted].mean()) if counted.any() else float("nan")}
    if classes:
        right = labels.argmax(axis=1)
        likelihood = float(np.take_along_axis(logits, right[:, None], 1).mean()) if len(right) else float("nan")
        return {**found, "log_likelihood": likelihood, "accuracy": float((right == logits.argmax(axis=1)).mean())}
    return {**found, "bce": float((np.logaddexp(0, logits) - labels * logits).mean())}
