"""Kernel means of what images around a place look like."""

import numpy as np
import torch

from sdm_ray.geo.grid import to_lonlat
from sdm_ray.models.config import NearbyImagesConfig
from sdm_ray.models.nearby_images import NearbyImages

X, Y = 4_000_000.0, 3_100_000.0


def at(*metres_east: float) -> torch.Tensor:
    lonlat = to_lonlat(np.array([X + each for each in metres_east]), np.full(len(metres_east), Y))
    return torch.from_numpy(np.column_stack(lonlat))


def remembering(*ranges_km: float) -> NearbyImages:
    """Two images, 3 km apart, of opposite features."""
    found = NearbyImages(NearbyImagesConfig(places=2, components=1, ranges_km=ranges_km))
    found.remember(torch.tensor([[X, Y], [X + 3000, Y]], dtype=torch.float64), torch.tensor([[1.0], [-1.0]]))
    return found


def test_a_mean_weighs_images_by_their_distance_and_one_average_image():
    near, far = torch.exp(torch.tensor(-0.5)), torch.exp(torch.tensor(-2.0))  # 1 and 2 ranges of 1 km off
    expected = torch.tensor([[(near - far) / (1 + near + far), torch.log1p(near + far)]])
    assert torch.allclose(remembering(1)(at(1000)), expected, atol=1e-4)


def test_where_there_are_no_images_nothing_is_claimed_and_wide_ranges_still_see_them():
    found = remembering(1, 20)(at(30_000))
    assert found.shape == (1, 4) and torch.equal(found[0, :2], torch.zeros(2)) and found[0, 3] > 0.2


def test_what_a_place_is_told_does_not_depend_on_the_others_of_its_batch():
    model, places = remembering(1, 5), at(*np.linspace(-40_000, 40_000, 700))
    together = model(places)
    assert torch.allclose(together, torch.cat([model(part) for part in places.split(1)]), atol=1e-3)
    assert model(places[:0]).shape == (0, 4)


def test_what_is_remembered_comes_back_with_the_weights():
    again = NearbyImages(NearbyImagesConfig(places=2, components=1, ranges_km=(1,)))
    again.load_state_dict(remembering(1).state_dict())
    assert torch.equal(again(at(500)), remembering(1)(at(500)))
