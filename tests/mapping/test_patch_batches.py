import numpy as np
import pytest

from sdm_ray.geo.windows import centred
from sdm_ray.mapping.patch_batches import Imagery
from sdm_ray.stores.cube import Cube
from sdm_ray.stores.patch_reader import Wanted


@pytest.mark.parametrize("budget", [1 << 30, 1], ids=["held", "one by one"])
def test_patches_are_those_of_the_cube_in_the_bands_asked_for(world, budget):
    rows, cols = np.mgrid[70:90, 92:108]  # over the cube's edge
    x, y = world.grid.centre(rows.ravel(), cols.ravel())
    imagery = Imagery(world.folder / "cube.zarr", ["nir"], 8, budget)
    pixels = imagery.read(x, y)
    assert (pixels.region is not None) == imagery.fits(x, y) == (budget > 1)
    cube = Cube(world.folder / "cube.zarr")
    expected = cube.patches(Wanted(*centred(cube.grid, x, y, 8), 8, bands=(1,)))
    assert np.array_equal(pixels.patches(x, y), expected)
    assert np.array_equal(pixels.patches(x[:3], y[:3]), expected[:3])


def test_scattered_cells_are_read_one_by_one(world):
    x, y = world.grid.centre(np.array([0, 70]), np.array([0, 95]))
    pixels = Imagery(world.folder / "cube.zarr", ["red", "nir"], 8, 1 << 30).read(x, y)
    assert pixels.region is None
    assert pixels.patches(x, y).shape == (2, 2, 8, 8)
