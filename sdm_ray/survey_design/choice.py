"""Choosing sites one after another, each the one that brings the map's cells nearest to a survey.

The gain of a site is what it takes from the cells' distances to their nearest surveyed or chosen site, in standardised
and weighted covariates, summed over the cells of the map: facility location, as in k-medians. Each step takes the
largest gain for its cost; gains never grow as sites are added, so that a site is looked at again only while its former
gain leads (Minoux 1978). Where costs are equal and sites need not lie apart this is at least 63 % as good as the best
choice of as many sites (Nemhauser, Wolsey and Fisher 1978, Mathematical Programming 14:265). Where costs differ, cheap
sites of little gain may use up what a better one costs: a choice that begins with the one site of the largest gain is
made as well, and the better of both is taken, at least 31 % as good as the best under a budget alone (Khuller, Moss and
Naor 1999, Information Processing Letters 70:39). Cells may be weighted by the model's uncertainty there.
"""

import heapq
from dataclasses import dataclass

import numpy as np

_AT_ONCE = 1 << 24  # distances held at once
_ROUNDING = 1e-9  # sums of gains that differ by less are equal


@dataclass(frozen=True)
class Candidates:
    """Places that may be surveyed.

    Attributes:
        points: standardised and weighted covariates, (N, C).
        cost: of a survey, above 0, (N,).
        xy: metres, (N, 2).
    """

    points: np.ndarray
    cost: np.ndarray
    xy: np.ndarray


@dataclass(frozen=True)
class Demand:
    """Cells that surveys are to be near to.

    Attributes:
        points: standardised and weighted covariates, (D, C).
        distance: of each to the nearest survey, (D,).
        weight: of each, 0 or more, (D,).
    """

    points: np.ndarray
    distance: np.ndarray
    weight: np.ndarray


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
        gain: of each when it was chosen: share of the weighted distances before any choice, (K,).
        first: gain of every candidate before any choice, (N,).
    """

    rows: np.ndarray
    gain: np.ndarray
    first: np.ndarray


def choose(candidates: Candidates, demand: Demand, limits: Limits) -> Choice:
    """Choose sites, each the one of the largest gain for its cost among those that the budget still allows.

    Args:
        candidates: the places.
        demand: the cells that surveys are to be near to.
        limits: of the choice.
    """
    first = gains(candidates.points, demand, demand.distance) / _total(demand)
    found = _greedy(candidates, demand, limits, first)
    affordable = np.flatnonzero(candidates.cost <= limits.budget)
    if np.ptp(candidates.cost) > 0 and len(affordable):
        best = int(affordable[first[affordable].argmax()])
        other = _greedy(candidates, demand, limits, first, best)
        if other.gain.sum() > found.gain.sum() + _ROUNDING:
            return other
    return found


def _greedy(
    candidates: Candidates, demand: Demand, limits: Limits, first: np.ndarray, start: int | None = None
) -> Choice:  # fmt: skip
    """Sites of the largest gain for their cost, one after another, of which the first may be given."""
    distance = demand.distance.astype(np.float64).copy()
    waiting = [(-value / cost, row) for row, (value, cost) in enumerate(zip(first, candidates.cost, strict=True))]
    if start is not None:
        waiting[start] = -np.inf if first[start] > 0 else 0.0, start
    heapq.heapify(waiting)
    left = limits.budget
    rows: list[int] = []
    found: list[float] = []
    looked_at = np.zeros(len(first), np.int64)  # sites chosen when a gain was computed
    while waiting and len(rows) < limits.sites:
        former, row = heapq.heappop(waiting)
        place = candidates.xy[row]
        near = limits.apart_m and rows and np.hypot(*(candidates.xy[rows] - place).T).min() < limits.apart_m
        if candidates.cost[row] > left or near:
            continue  # it stays so: budgets only shrink, and sites are only added
        if looked_at[row] < len(rows):
            value = float(gains(candidates.points[row : row + 1], demand, distance)[0]) / _total(demand)
            looked_at[row] = len(rows)
            heapq.heappush(waiting, (-value / candidates.cost[row], row))
            continue
        if former >= 0:
            break
        found.append(-former * candidates.cost[row] if rows or start is None else float(first[row]))
        rows.append(row)
        left -= candidates.cost[row]
        np.minimum(distance, _distances(candidates.points[row : row + 1], demand.points)[0], out=distance)
    return Choice(np.array(rows, np.int64), np.array(found, float), first)


def _total(demand: Demand) -> float:
    """The weighted distances before any choice."""
    return max(float(demand.weight @ demand.distance), 1e-300)


def gains(points: np.ndarray, demand: Demand, distance: np.ndarray) -> np.ndarray:
    """What each place takes from the weighted distances, (N,).

    Args:
        points: of the places, (N, C).
        demand: the cells.
        distance: of each cell to the nearest surveyed or chosen site, (D,).
    """
    step = max(1, _AT_ONCE // max(len(distance), 1))
    parts = [points[start : start + step] for start in range(0, len(points), step)]
    return np.concatenate([np.maximum(distance - _distances(part, demand.points), 0) @ demand.weight for part in parts])


def _distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Euclidean distances, (N, D)."""
    squares = (points**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * points @ others.T
    return np.asarray(np.sqrt(np.maximum(squares, 0)))


def entropy(probability: np.ndarray) -> np.ndarray:
    """Mean over species of the entropy of presence and absence, bits, (N,), of probabilities (N, S)."""
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.asarray(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)).mean(axis=1))


def variance(probability: np.ndarray) -> np.ndarray:
    """Mean over species of the variance of presence, p (1 - p), (N,), of probabilities (N, S)."""
    return np.asarray((probability * (1 - probability)).mean(axis=1))
