"""Countries of a map without any survey, measured on the map itself: where its sources have no data."""

import numpy as np

from sdm_ray.geo.windows import Window
from sdm_ray.stores.land import Land
from sdm_ray.stores.maps import Map

_LAYER = "surveyed_country"
_WITHOUT = 0  # a flag value of the layer


def unsurveyed_countries(found: Map, land: Land) -> dict[str, int]:
    """Number of the map's cells in each country that has no survey, the largest first; empty where none is known.

    Args:
        found: the map.
        land: the store that names the countries.
    """
    if _LAYER not in found.layers():
        return {}
    numbers, counts = land.country().ravel(), np.zeros(len(land.countries), np.int64)
    for top in range(0, found.grid.height, found.tile):
        window = Window(top, 0, min(found.tile, found.grid.height - top), found.grid.width)
        rows, cols = np.nonzero(found.layer(_LAYER, window) == _WITHOUT)
        index = land.grid.index(*found.grid.centre(rows + top, cols))
        counts += np.bincount(numbers[index[index >= 0]], minlength=len(counts))
    order = [int(number) for number in np.argsort(-counts, kind="stable") if number and counts[number]]
    return {land.countries[number]: int(counts[number]) for number in order}
