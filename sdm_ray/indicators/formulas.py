"""Formulas of the indicators of a cell, from sums over its species.

A cell has the probabilities p_j of its species. Given them, species are present independently of each other, x_j with
mean p_j and variance v_j = p_j (1 - p_j). Two kinds of standard deviation follow:

- of a weighted sum of presences, sum_j w_j x_j, exactly: its variance is sum_j w_j^2 v_j. With w_j = 1 this is the
  variance of the Poisson-binomial distribution (Wang 1993, Statistica Sinica 3:295-312).
- of any other function f of the presences, to first order (delta method): sum_j (df/dp_j)^2 v_j, with the derivatives
  at the probabilities. Where f is flat there, as the Shannon index is at equal shares, it is too small.

Neither includes that the probabilities may be wrong.

Every function takes arrays of one shape and returns such arrays; where a cell has no species the result is NaN.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def shannon(total: Floats, p_log_p: Floats) -> Floats:
    """Shannon index of the shares s_j = p_j / sum p: H = -sum s_j ln s_j (Shannon 1948, Bell Syst. Tech. J. 27:379).

    Args:
        total: sum of p_j.
        p_log_p: sum of p_j ln p_j.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.maximum(np.log(total) - p_log_p / total, 0)


def shannon_sd(total: Floats, index: Floats, v: Floats, v_log_p: Floats, v_log2_p: Floats) -> Floats:
    """Standard deviation of the Shannon index by the delta method, with dH/dp_j = -(ln s_j + H) / sum p.

    Args:
        total: sum of p_j.
        index: H.
        v: sum of v_j.
        v_log_p: sum of v_j ln p_j.
        v_log2_p: sum of v_j (ln p_j)^2.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = index - np.log(total)
        return _root(v_log2_p + 2 * shift * v_log_p + shift**2 * v) / total


def concentration(total: Floats, squares: Floats) -> Floats:
    """Simpson's concentration of the shares: C = sum s_j^2 (Simpson 1949, Nature 163:688).

    Args:
        total: sum of p_j.
        squares: sum of p_j^2.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return squares / total**2


def concentration_sd(total: Floats, squares: Floats, v: Floats, v_p: Floats, v_p2: Floats) -> Floats:
    """Standard deviation of the concentration by the delta method, with dC/dp_j = 2 (p_j - Q / P) / P^2.

    Args:
        total: P, sum of p_j.
        squares: Q, sum of p_j^2.
        v: sum of v_j.
        v_p: sum of v_j p_j.
        v_p2: sum of v_j p_j^2.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = squares / total
        return 2 * _root(v_p2 - 2 * centre * v_p + centre**2 * v) / total**2


def ratio_sd(ratio: Floats, below: Floats, a2: Floats, ab: Floats, b2: Floats) -> Floats:
    """Standard deviation of a ratio of two weighted sums of presences, A / B, by the delta method.

    The derivative with respect to p_j is (a_j - b_j A / B) / B.

    Args:
        ratio: A / B.
        below: B.
        a2: sum of a_j^2 v_j.
        ab: sum of a_j b_j v_j.
        b2: sum of b_j^2 v_j.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return _root(a2 - 2 * ratio * ab + ratio**2 * b2) / below


def lcbd(total: Floats, dot: Floats, mean2: float, cells: float) -> Floats:
    """Local contribution to beta diversity after the Hellinger transformation (Legendre & De Caceres 2013).

    Cells are points y_j = sqrt(s_j); a cell's share in the sum of squared distances to their mean m is
    |y - m|^2 / sum |y - m|^2, where |y| = 1, so that numerator and denominator are 1 + |m|^2 - 2 y.m and N (1 - |m|^2).
    Ecology Letters 16:951-963, equations 4, 5 and 9; Hellinger: Legendre & Gallagher 2001, Oecologia 129:271-280.

    Args:
        total: sum of p_j.
        dot: sum of m_j sqrt(p_j).
        mean2: |m|^2.
        cells: N, number of cells with species.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.maximum(1 + mean2 - 2 * dot / np.sqrt(total), 0) / (cells * (1 - mean2))


def _root(variance: Floats) -> Floats:
    """Square root of a variance that rounding may have taken below zero."""
    return np.sqrt(np.maximum(variance, 0))
