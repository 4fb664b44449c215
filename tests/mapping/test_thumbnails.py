import numpy as np
import zarr

from sdm_ray.mapping.thumbnails import overview


def layer(values, **attrs):
    array = zarr.create_array({}, shape=values.shape, dtype=values.dtype)
    array[...] = values
    array.attrs.update(attrs)
    return array


def test_pictures_show_means_of_numbers_and_the_commonest_of_flags():
    flags = np.full((3000, 30), 3, np.uint8)
    flags[::3], flags[:3, :3] = 7, 0
    shown = overview(layer(flags, flag_masks=[1, 2, 4]), 0, strip=7)
    assert shown.shape == (1000, 10) and np.isnan(shown[0, 0])
    assert set(np.unique(shown[1:])) == {3}
    means = overview(layer(flags), 0, strip=7)
    np.testing.assert_allclose(means[1:], 13 / 3, rtol=1e-6)
