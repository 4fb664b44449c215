"""Choosing sites one after another: where the model is unsure, and unlike what has been surveyed or chosen already.

The gain of a site is the model's uncertainty there times its distance, in standardised and weighted covariates, to the
nearest site that is surveyed or chosen. Taking the largest distance next is Gonzalez' algorithm for k centres
(Gonzalez 1985, Theoretical Computer Science 38:293), here weighted by uncertainty as in uncertainty sampling, and
divided by cost as in greedy choice under a budget.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Candidates:
    """Places that may be surveyed.

    Attributes:
        points: standardised and weighted covariates, (N, C).
        uncertainty: of the model, 0 or more, (N,).
        cost: of a survey, above 0, (N,).
        xy: metres, (N, 2).
    """

    points: np.ndarray
    uncertainty: np.ndarray
    cost: np.ndarray
    xy: np.ndarray


@dataclass(frozen=True)
class Limits:
    """What bounds a choice.

    Attributes:
        sites: most sites.
        budget: most that they cost together.
        apart_m: least distance between two of them, metres.
    """

    sites: int
    budget: float = np.inf
    apart_m: float = 0.0


@dataclass(frozen=True)
class Choice:
    """Chosen sites in the order of choice.

    Attributes:
        rows: of the candidates, (K,).
        gain: of each when it was chosen, (K,).
        novelty: distance of each to the nearest surveyed or chosen site then, (K,).
    """

    rows: np.ndarray
    gain: np.ndarray
    novelty: np.ndarray


def gain(uncertainty: np.ndarray, novelty: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Gain of sites for their cost, (N,).

    Args:
        uncertainty: of the model, (N,).
        novelty: distance to the nearest surveyed or chosen site, (N,).
        cost: of a survey, (N,).
    """
    return uncertainty * novelty / cost


def choose(candidates: Candidates, novelty: np.ndarray, limits: Limits) -> Choice:
    """Choose sites, each the one of the largest gain for its cost among those that the budget still allows.

    Args:
        candidates: the places.
        novelty: distance of each to the nearest survey, in the space of `candidates.points`, (N,).
        limits: of the choice.
    """
    novelty = novelty.astype(np.float64).copy()
    free = np.ones(len(novelty), bool)
    left = limits.budget
    chosen: list[tuple[int, float, float]] = []
    while len(chosen) < limits.sites:
        gains = np.where(
            free & (candidates.cost <= left), gain(candidates.uncertainty, novelty, candidates.cost), -np.inf
        )
        best = int(np.argmax(gains))
        if not gains[best] > 0:
            break
        chosen.append((best, float(gains[best]), float(novelty[best])))
        left -= candidates.cost[best]
        free[best] = False
        away = np.linalg.norm(candidates.points - candidates.points[best], axis=1)
        np.minimum(novelty, away, out=novelty)
        if limits.apart_m:
            free &= np.hypot(*(candidates.xy - candidates.xy[best]).T) >= limits.apart_m
    rows, gains_found, novelties = (np.array(each) for each in zip(*chosen, strict=True)) if chosen else ([], [], [])
    return Choice(np.asarray(rows, np.int64), np.asarray(gains_found, float), np.asarray(novelties, float))


def entropy(probability: np.ndarray) -> np.ndarray:
    """Mean over species of the entropy of presence and absence, bits, (N,), of probabilities (N, S)."""
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.asarray(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)).mean(axis=1))


def variance(probability: np.ndarray) -> np.ndarray:
    """Mean over species of the variance of presence, p (1 - p), (N,), of probabilities (N, S)."""
    return np.asarray((probability * (1 - probability)).mean(axis=1))
