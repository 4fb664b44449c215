"""Whether sums over species, published together, would show where a sensitive species is.

Two published sums differ by a sum over the species that only one of them counts. If these are few and a sensitive
species is among them, whose place is to stay unsaid, the difference shows it: richness less the richness of a list of
all other species is its probability. One sum alone differs so from a sum over no species.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sdm_ray.errors import InputError

FEWEST = 5
"""Species that a sum, or a difference of two, has at least, where a sensitive one is among them."""


def check_sums(
    sums: Mapping[str, NDArray[np.bool_]], sensitive: NDArray[np.bool_], species: Sequence[str]
) -> None:  # fmt: skip
    """Refuse sums that would show where a sensitive species is.

    Args:
        sums: what each is called in a message -> which species it counts, (S,).
        sensitive: which species are, (S,).
        species: their names, (S,).

    Raises:
        InputError: a sum, or a difference of two, is over fewer than `FEWEST` species and one of them is sensitive.
    """
    counted = {"": np.zeros(len(species), bool), **sums}
    for (one, first), (other, second) in combinations(counted.items(), 2):
        apart = first != second
        if (sensitive & apart).any() and apart.sum() < FEWEST:
            secret = species[int(np.flatnonzero(sensitive & apart)[0])]
            where = f"{other} counts" if not one else f"{one} and {other} differ by"
            raise InputError(
                f"sensitive: {where} {apart.sum()} species of the map and {secret} is one of them, so that this would"
                f" show where it is; expected at least {FEWEST}"
            )
