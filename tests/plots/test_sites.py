import io

import numpy as np
from PIL import Image

from sdm_ray.plots.sites import site_picture


def test_chosen_sites_are_drawn_over_the_cells():
    numbers = np.random.default_rng(0)
    xy = numbers.uniform(0, 50_000, (400, 2))
    places = xy, numbers.random(400)
    drawn = [
        np.asarray(Image.open(io.BytesIO(site_picture(places, xy[:count], xy[50:60], "Sites", "1"))))
        for count in (1, 40)
    ]
    red = [int(((each[..., 0] > 190) & (each[..., 1] < 60) & (each[..., 2] < 60)).sum()) for each in drawn]
    assert red[1] > 5 * red[0] > 0
