"""One scene on the cube's pixels, held against GDAL's own warp of the real tile."""

import numpy as np
import pytest
import rasterio
from helpers.observed_scenes import GRID, observed, scene, settings
from helpers.satellite import EAST, NORTH, SOUTH, WEST, classes, coarse, tile, write
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.warp import reproject

from sdm_ray.geo.grid import Grid, grid_of
from sdm_ray.geo.windows import Window, whole
from sdm_ray.sources.sentinel2.scene_reader import Reader, SceneFault, Target, as_reflectance, bilinear, coarsen
from sdm_ray.sources.sentinel2.signing import Signer


def warped(path, grid: Grid, resampling: Resampling) -> np.ndarray:
    """GDAL's warp, with exact places."""
    with rasterio.open(path) as raster:
        out, _ = reproject(
            raster.read(),
            np.zeros((4, *grid.shape), np.uint16),
            src_transform=raster.transform,
            src_crs=raster.crs,
            src_nodata=0,
            dst_transform=Affine(*grid.transform),
            dst_crs="EPSG:3035",
            dst_nodata=0,
            resampling=resampling,
            tolerance=0,
            XSCALE=1,  # or GDAL widens the kernel by as much as the window's outline grows when it is turned
            YSCALE=1,
        )
    return out


@pytest.fixture
def path(data, tmp_path):
    values, profile = tile(data)
    return write(tmp_path / "scene.tif", values, profile)


@pytest.mark.parametrize("how", ["nearest", "bilinear"])
def test_pixels_are_those_of_gdals_warp(path, how):
    mine, theirs = observed(scene(path), resampling=how), warped(path, GRID, Resampling[how])
    assert (mine > 0).all()
    apart = np.abs(mine.astype(int) - theirs)
    # The projections agree to 0.3 mm: half a unit is rounded either way, a place on an edge falls to either side.
    assert (apart > 0).mean() < 0.01
    assert (apart > (1 if how == "bilinear" else 0)).mean() < 1e-3


def test_where_the_tile_ends_nothing_is_made_up(path):
    wide = grid_of((WEST - 1500, SOUTH, EAST, NORTH + 2000), 10)
    mine, theirs = observed(scene(path)), observed(scene(path), wide)
    row, col = round((wide.y1 - GRID.y1) / 10), round((GRID.x0 - wide.x0) / 10)
    assert np.array_equal(mine, theirs[:, row : row + GRID.height, col : col + GRID.width])
    known = warped(path, wide, Resampling.nearest).min(axis=0) > 0
    assert np.array_equal(theirs.min(axis=0) > 0, known)
    assert 0.1 < known.mean() < 0.9


def test_a_pixel_does_not_depend_on_the_window(path):
    every = observed(scene(path))
    for window in (Window(0, 0, 64, 64), Window(31, 77, 50, 3), Window(159, 179, 1, 1)):
        assert np.array_equal(observed(scene(path), window=window), every[:, *window.slices])


def test_clouds_are_dropped_before_neighbours_are_weighed(data, tmp_path):
    values, profile = tile(data)
    cloudy = np.random.default_rng(1).random((128, 128)) < 0.3
    cloudy[40:80] = False
    under = np.kron(cloudy, np.ones((2, 2), bool))
    bright = np.where(under, 9999, values).astype(np.uint16)
    scl = write(tmp_path / "scl.tif", classes(cloudy), coarse(profile))
    seen = observed(scene(write(tmp_path / "a.tif", bright, profile), scl), mask=[9])
    holes = write(tmp_path / "b.tif", np.where(under, 0, values), profile)
    assert np.array_equal(seen, observed(scene(holes)))
    assert seen.max() < 9999
    assert 0.1 < (seen[0] == 0).mean() < 0.3


def test_the_offset_of_baseline_4_is_taken_off_and_what_was_seen_stays_above_0(data, tmp_path):
    values, profile = tile(data)
    values = np.where(values < 300, 0, values)
    later = write(tmp_path / "later.tif", np.where(values > 0, values + 1000, 0).astype(np.uint16), profile)
    before = write(tmp_path / "before.tif", values, profile)
    assert np.array_equal(observed(scene(later, offset=1000)), observed(scene(before)))
    raw = np.array([0, 1, 999, 1000, 1001, 1002, 65535], np.uint16)
    assert as_reflectance(raw, 1, 1000, "a").tolist() == [0, 1, 1, 1, 1, 2, 64535]


def test_an_assets_own_scale_and_offset_are_applied(data, tmp_path):
    values, profile = tile(data)
    doubled = write(tmp_path / "doubled.tif", (2 * values + 500).astype(np.uint16), profile)
    what = scene(doubled, offset=1000)
    own = {name: raster.model_copy(update={"scale": 0.5, "offset": 250.0}) for name, raster in what.rasters.items()}
    found = observed(what.model_copy(update={"rasters": own}))
    assert np.array_equal(found, observed(scene(write(tmp_path / "plain.tif", values, profile))))
    share = write(tmp_path / "share.tif", (values / 10_000).astype(np.float32), profile, dtype="float32")
    own = {name: raster.model_copy(update={"scale": 10_000.0}) for name, raster in scene(share).rasters.items()}
    assert np.array_equal(observed(scene(share).model_copy(update={"rasters": own})), found)
    unknown = np.array([np.nan, -0.5, 0, 0.00001, 0.15, 9], np.float32)
    assert as_reflectance(unknown, 10_000, 0, "a").tolist() == [0, 0, 0, 1, 1500, 65535]


def test_low_values_are_counted_with_and_without_an_offset(data, tmp_path):
    values, profile = tile(data)
    path = write(tmp_path / "a.tif", values, profile)
    for offset in (0, 1000):
        with Reader(settings(resampling="nearest"), Signer()) as reader:
            reader.observe(scene(path, offset=offset), Target(GRID, whole(GRID)))
        counts = {0: reader.without_offset, 1000: reader.with_offset}[offset]["a"]
        other = {0: reader.with_offset, 1000: reader.without_offset}[offset]
        assert other == {} and counts.known > values.size / 2
        assert counts.low / counts.known == pytest.approx((values <= 1000).mean(), abs=0.05)


def test_a_coarser_cube_takes_means_of_what_is_known(path):
    values = np.array([[1, 3, 5], [0, 4, 0], [0, 0, 8]], np.uint16)
    assert coarsen(values, 2).tolist() == [[3, 5], [0, 8]]
    grid = grid_of((WEST, SOUTH, EAST, NORTH), 50)
    coarse_one = observed(scene(path), grid)
    fine = observed(scene(path)).reshape(4, 32, 5, 36, 5).mean(axis=(2, 4))
    assert np.corrcoef(coarse_one.ravel(), fine.ravel())[0, 1] > 0.98
    assert abs(coarse_one.mean() / fine.mean() - 1) < 0.01


def test_bilinear_by_hand():
    values = np.array([[10, 20], [0, 40]], np.uint16)
    rows, cols = np.array([[0.5, 0.5, 0.9, 1.2]]), np.array([[0.5, 1.0, 0.5, 0.5]])
    # In the middle of a pixel; between two; towards an unknown one, which does not count; inside the unknown one.
    assert bilinear(values, rows, cols).tolist() == [[10, 15, 10, 0]]


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"crs": None}, "has no projection"), ({"dtype": "float32"}, "holds float32, expected whole numbers")],
)
def test_what_is_no_scene_is_said(data, tmp_path, changed, said):
    values, profile = tile(data)
    path = write(tmp_path / "a.tif", values.astype(changed.get("dtype", "uint16")), profile, **changed)
    with pytest.raises(SceneFault, match=said):
        observed(scene(path))


def test_a_truncated_file_is_a_fault_and_is_tried_again(path, monkeypatch):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(SceneFault, match="a"):
        observed(scene(path))
    pauses = []

    def mend(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            path.write_bytes(content)

    monkeypatch.setattr("tenacity.nap.time.sleep", mend)
    assert (observed(scene(path), retries=3, backoff_s=0.5) > 0).all()
    assert pauses == [0.5, 1.0]
