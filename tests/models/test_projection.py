"""The projection in torch against PROJ."""

import numpy as np
import torch

from sdm_ray.geo.grid import to_xy as proj_to_xy
from sdm_ray.models.projection import to_xy


def test_equal_to_proj_within_a_millimetre():
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-32, 47, 5000), rng.uniform(26, 73, 5000)
    ours = to_xy(torch.from_numpy(np.stack([lon, lat], 1))).numpy()
    assert np.abs(ours - np.stack(proj_to_xy(lon, lat), 1)).max() < 1e-3
