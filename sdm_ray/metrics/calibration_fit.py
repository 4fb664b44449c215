"""Calibration on held-out blocks: logits to probabilities that agree with how often species are found."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit, logsumexp
from torch import Tensor

from sdm_ray.metrics.config import PREVALENCE
from sdm_ray.models.calibration import KNOTS, Calibration
from sdm_ray.models.config import CalibrationKind

_STEPS = 25
_COLUMNS = 256  # species that are held in double precision at once
# Strength of the pull to the scale and shift of all species, in units of the log-likelihood. Neighbouring surveys
# repeat each other: with a weak pull the species of a fold follow the few blocks that it is calibrated on (trees of
# Europe, folds pooled: AUC .9223 with 20, .9233 with 500, and the better Brier score).
_PRIOR = 500.0
_CURVE_PRIOR = 50.0  # the same, of a curve to its argument, at each knot

Array = NDArray[np.float64]


def fit(
    kind: CalibrationKind,
    logits: NDArray[np.float32],
    labels: NDArray[np.uint8],
    *,
    classes: bool,
    offset: Array | None = None,
) -> Calibration:
    """The calibration of one kind.

    Where no species is present in some rows and absent in others it adds the offset alone: the likeliest probability
    of presences without absences is 1 everywhere, whatever the logits.

    Args:
        kind: `platt` and `isotonic` apply to species, `temperature` to species and classes.
        logits: of held-out rows, (N, S).
        labels: 0 or 1, (N, S).
        classes: whether each row holds exactly one.
        offset: added to each species' calibrated logits (see `prevalence_offset`), (S,); none by default.
    """
    count = logits.shape[1]
    offset = np.zeros(count) if offset is None else offset
    scale, shift, curve = np.ones(count), np.zeros(count) if kind == "none" else offset, None
    if not (labels.any(axis=0) & ~labels.all(axis=0)).any():
        logits, labels = logits[:0], labels[:0]
    if len(logits) and kind == "temperature":
        if classes:
            scale *= class_temperature(logits, labels)
        else:
            scale *= _newton(_Rows(logits, labels, offset), _ONE, _SCALE_ALONE)[0]
    elif len(logits) and kind in ("platt", "isotonic"):
        scale, shift = fit_platt(logits, labels, offset)
    if kind == "isotonic":
        curve = _float(fit_curves(logits, labels, scale, shift))
    return Calibration(_float(scale), _float(shift), curve)


def prevalence_offset(present: NDArray[np.int64], rows: NDArray[np.int64]) -> Array:
    """What logits lack where presences and absences of a species weigh the same: the logit of its prevalence, (S,).

    By Bayes' rule the balanced logit is log p(x | present) - log p(x | absent): the logit of presence without its
    prior (King and Zeng 2001, "Logistic regression in rare events data", prior correction).

    Args:
        present: training rows in which each species is present, (S,).
        rows: training rows in which its presence or absence is known, (S,).
    """
    return np.asarray(logit((present + 0.5) / (rows + 1)))


def fit_platt(
    logits: NDArray[np.float32], labels: NDArray[np.uint8], offset: Array | None = None
) -> tuple[Array, Array]:
    """A scale and a shift for each species, drawn to those of all species together.

    Platt scaling (Platt 1999) by maximum likelihood with a Gaussian prior around the joint fit, so that a species
    with few presences is calibrated like the others and one with many by itself. What is known to differ between
    species goes into the offset: the prior would pull it towards their mean.

    Args:
        logits: of held-out rows, (N, S).
        labels: 0 or 1, (N, S).
        offset: of each species, (S,); none by default.

    Returns:
        Scale and shift, (S,) each, the shift with the offset: the probability is sigmoid(scale * logit + shift).
    """
    rows = _Rows(logits, labels, np.zeros(logits.shape[1]) if offset is None else offset)
    joint = _newton(rows, _ONE, np.full((2, 1), 1e-3))
    scale, shift = _newton(rows, np.repeat(joint, logits.shape[1], axis=1), np.full((2, 1), _PRIOR))
    return scale, shift + rows.offset


def fit_curves(logits: NDArray[np.float32], labels: NDArray[np.uint8], scale: Array, shift: Array) -> Array:
    """Corrections that remain after `fit_platt`: one rising curve for all species of a class of prevalence.

    Centred isotonic regression (Oron and Flournoy 2017): the steps of an isotonic regression (Zadrozny and Elkan 2002)
    joined by straight lines through their centres. So the curve rises strictly, and no two places become equal: AUC
    and average precision of a species stay what they were.

    Args:
        logits: of held-out rows, (N, S).
        labels: 0 or 1, (N, S).
        scale: of each species, (S,).
        shift: of each species, (S,).

    Returns:
        Calibrated logits at `KNOTS` of the scaled and shifted ones, (S, K).
    """
    curves = np.tile(KNOTS, (logits.shape[1], 1))
    if len(logits) == 0:
        return curves
    group = np.digitize(labels.mean(axis=0), PREVALENCE[1:-1], right=True)
    for each in np.unique(group):
        own = np.flatnonzero(group == each)
        curves[own] = _rising(np.sum([_counted(logits[:, s] * scale[s] + shift[s], labels[:, s]) for s in own], axis=0))
    return curves


def class_temperature(logits: NDArray[np.float32], labels: NDArray[np.uint8]) -> float:
    """One scale for the logits of classes that exclude each other, by maximum likelihood (Guo et al. 2017).

    Args:
        logits: of held-out rows, (N, S).
        labels: 0 or 1, one 1 in each row, (N, S).

    Returns:
        The scale: probabilities are softmax(scale * logit).
    """
    x, right = logits.astype(np.float64), labels.argmax(axis=1)[:, None]

    def loss(log_scale: float) -> float:
        scaled = np.exp(log_scale) * x
        return float((logsumexp(scaled, axis=1, keepdims=True) - np.take_along_axis(scaled, right, 1)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-4, 4), method="bounded").x))


_ONE = np.array([[1.0], [0.0]])
_SCALE_ALONE = np.array([[1e-3], [1e12]])  # holds the shift at 0


class _Rows(NamedTuple):
    """Held-out rows of S species: logits and labels, (N, S), and what is added to the logits of each species, (S,)."""

    logits: NDArray[np.float32]
    labels: NDArray[np.uint8]
    offset: Array


def _newton(rows: _Rows, start: Array, prior: Array) -> Array:
    """Scale and shift (2, S) of each species by Newton's method; from a `start` of (2, 1) those of all together."""
    value = start.copy()
    for _ in range(_STEPS):
        sums = _sums(rows, np.broadcast_to(value, (2, rows.logits.shape[1])))
        if start.shape[1] == 1:
            sums = sums.sum(axis=1, keepdims=True)
        slope = sums[:2] + prior * (value - start)
        a, b, c = sums[2] + prior[0], sums[3], sums[4] + prior[1]
        step = np.stack([c * slope[0] - b * slope[1], a * slope[1] - b * slope[0]]) / (a * c - b * b)
        value -= np.clip(step, -1, 1)  # far from the optimum a full step may overshoot
        if np.abs(step).max() < 1e-6:
            break
    value[0] = np.maximum(value[0], 1e-3)  # a calibration never reverses the order of places
    return value


def _sums(rows: _Rows, value: Array) -> Array:
    """Sums over the rows of each species that make the first and second derivatives, (5, S)."""
    found = []
    for first in range(0, rows.logits.shape[1], _COLUMNS):
        part = slice(first, first + _COLUMNS)
        x, y = rows.logits[:, part].astype(np.float64), rows.labels[:, part]
        p = expit(np.clip(value[0, part] * x + value[1, part] + rows.offset[part], -40, 40))
        rest, weight = p - y, p * (1 - p)
        found.append([(rest * x).sum(0), rest.sum(0), (weight * x * x).sum(0), (weight * x).sum(0), weight.sum(0)])
    return np.concatenate(found, axis=1)


def _counted(x: Array, labels: NDArray[np.uint8]) -> Array:
    """Rows, presences and sum of the logits of one species around each knot, (3, K)."""
    x = x.clip(KNOTS[0], KNOTS[-1])
    nearest = np.rint((x - KNOTS[0]) / (KNOTS[1] - KNOTS[0])).astype(np.int64)
    return np.stack([np.bincount(nearest, each, len(KNOTS)) for each in (None, labels, x)])


def _rising(counted: Array) -> Array:
    """The curve at `KNOTS` of what `_counted` found."""
    from sklearn.isotonic import isotonic_regression  # seconds of every worker that calibrates otherwise

    rows, present, total = counted[:, counted[0] > 0]
    x = total / rows
    p = expit(x)
    pull = _CURVE_PRIOR / (p * (1 - p))  # so many more rows that agree with p hold the logit as fast as the prior
    level = isotonic_regression((present + pull * p) / (rows + pull), sample_weight=rows + pull)
    level, step = np.unique(level, return_inverse=True)
    centre = np.bincount(step, (rows + pull) * x) / np.bincount(step, rows + pull)
    beyond = KNOTS - KNOTS.clip(centre[0], centre[-1])
    curve: Array = np.interp(KNOTS, centre, logit(level)) + beyond
    return curve


def _float(values: Any) -> Tensor:  # noqa: ANN401 - an array
    return torch.from_numpy(values).float()
