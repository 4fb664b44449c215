"""The optimal assignment of controls to treated units, among as many candidates as it needs."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from sdm_ray.impact.study import Floats, Integers

Pairs = tuple[Integers, Integers]
Candidates = tuple[Integers, Integers, Floats]
"""Treated unit and control of each pair that may be made, and its cost, 0 or more, (E,) each."""
_MOST_CANDIDATES = 1 << 24  # that the assignment is made from


def optimal_pairs(
    nearest: Callable[[Integers, int], Candidates], shape: tuple[int, int], ratio: int, most: int
) -> Pairs:  # fmt: skip
    """Treated unit and control of each pair of the optimal assignment.

    It is made from the nearest controls of each treated unit, of twice as many for the units that compete for controls
    that are too few, and so on, until no more units can be matched.

    Args:
        nearest: gives the candidates of some treated units, so many of each at most.
        shape: number of treated units and of controls.
        ratio: most controls of a treated unit.
        most: candidates of each treated unit at first.
    """
    treated, controls = shape
    found = nearest(np.arange(treated), most)
    asked = np.full(treated, most)
    while len(found[0]):
        row, column, cost = found
        pairs = assign(found, shape, ratio)
        may_have_more = (np.bincount(row, minlength=treated) == asked) & (asked < controls)
        wider = np.flatnonzero(contended((row, column), pairs, shape, ratio) & may_have_more)
        most *= 2
        if not len(wider) or len(row) + len(wider) * most > _MOST_CANDIDATES:
            return pairs
        kept, asked[wider] = ~np.isin(row, wider), most
        more = nearest(wider, most)
        found = (
            np.concatenate([row[kept], more[0]]),
            np.concatenate([column[kept], more[1]]),
            np.concatenate([cost[kept], more[2]]),
        )
    return found[:2]


def assign(candidates: Candidates, shape: tuple[int, int], ratio: int) -> Pairs:
    """The optimal assignment: each control once, each treated unit at most `ratio` times.

    As many treated units as possible have a control, then there are as many pairs as possible, then their costs are
    least. A treated unit stands in `ratio` rows of a matrix. Each row has a column of its own beside the controls, at a
    cost above that of any set of pairs, so that a full assignment exists and leaves few rows unmatched. It is twice as
    high in the first row of a unit, so that a first control comes before further ones of others. (Sets of rows that can
    be matched together are the independent sets of a matroid, in which such weights do not compete with their number.)

    Args:
        candidates: pairs that may be made.
        shape: number of treated units and of controls.
        ratio: most controls of a treated unit.
    """
    (row, column, cost), (treated, controls) = candidates, shape
    rows = np.concatenate([row * ratio + copy for copy in range(ratio)])
    columns, costs = np.tile(column, ratio), np.tile(cost, ratio)
    own = np.arange(treated * ratio)
    large = 2 * len(own) * (cost.max() + 1)
    alone = np.where(own % ratio == 0, 2 * large, large)
    graph = sparse.csr_matrix(
        (
            np.concatenate([costs + 1, alone]),  # a cost of 0 would be no edge
            (np.concatenate([rows, own]), np.concatenate([columns, controls + own])),
        ),
        shape=(len(own), controls + len(own)),
    )
    row, column = min_weight_full_bipartite_matching(graph)
    real = column < controls
    return row[real].astype(np.int64) // ratio, column[real].astype(np.int64)


def contended(candidates: Pairs, pairs: Pairs, shape: tuple[int, int], ratio: int) -> NDArray[np.bool_]:
    """Which treated units compete for controls that are too few, (n,): only more candidates of theirs can add pairs.

    These are the units that lack a control, those that have one of their candidates, those that have one of theirs, and
    so on. All candidates of such a set are taken by it (Hall's condition), so that no other unit can make room.

    Args:
        candidates: treated unit and control of each candidate pair.
        pairs: of the optimal assignment of them.
        shape: number of treated units and of controls.
        ratio: most controls of a treated unit.
    """
    treated, controls = shape
    number = np.bincount(pairs[0], minlength=treated)
    if (number > 0).sum() == controls:
        return np.zeros(treated, bool)
    lacking = 1 if len(pairs[0]) == controls else ratio  # where every control is taken, no more pairs can be made
    found = number < lacking
    holder = np.full(controls, -1)
    holder[pairs[1]] = pairs[0]
    while True:
        wanted = holder[candidates[1][found[candidates[0]]]]
        wider = found.copy()
        wider[wanted[wanted >= 0]] = True
        if (wider == found).all():
            return found
        found = wider
