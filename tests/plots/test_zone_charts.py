import io

import numpy as np
from PIL import Image

from sdm_ray.plots.zone_charts import standing_picture, zone_map_picture


def drawn(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_a_map_shows_the_outline_and_holes_of_a_zone():
    values, extent = np.full((20, 30), np.nan), (0.0, 0.0, 30_000.0, 20_000.0)
    ring = np.array([(5e3, 5e3), (25e3, 5e3), (25e3, 15e3), (5e3, 15e3), (5e3, 5e3)])
    bare = drawn(zone_map_picture(values, [], "Heath", "species", extent))
    outlined = drawn(zone_map_picture(values, [ring, ring / 2 + 5e3], "Heath", "species", extent))
    assert (bare != outlined).any(axis=2).sum() > 500


def test_a_zone_stands_where_its_value_lies_among_the_others():
    every = np.array([1.0, 2.0, np.nan, 5.0])
    low = drawn(standing_picture({"richness": (1.0, every), "constant": (3.0, np.full(3, 3.0))}))
    high = drawn(standing_picture({"richness": (5.0, every), "constant": (3.0, np.full(3, 3.0))}))
    columns = [np.flatnonzero((picture == (213, 94, 0)).all(axis=2).any(axis=0)) for picture in (low, high)]
    assert columns[0].max() < columns[1].max()
