"""Patches of the challenges: which tree is meant, which bands come out, at which scale."""

import io
import shutil

import fsspec
import numpy as np
import pytest
import rasterio
from PIL import Image

from sdm_ray.errors import InputError
from sdm_ray.sources.geolifeclef.directory_trees import Tree, find_trees
from sdm_ray.sources.geolifeclef.patches import find_patches, reflectance
from sdm_ray.sources.photos.pack import check_image

ID_24, ID_25 = "1322301", "5000108"
RGB_24 = f"glc24/PA_Train_SatellitePatches_RGB/pa_train_patches_rgb/01/23/{ID_24}.jpeg"
NIR_24 = f"glc24/PA_Train_SatellitePatches_NIR/pa_train_patches_nir/01/23/{ID_24}.jpeg"
TIFF_25 = f"glc25/SatelitePatches/PA-test/08/01/{ID_25}.tiff"


def read(patches, key: str) -> bytes:
    with patches.opened() as opened:
        return opened(key)


def planes(content: bytes) -> np.ndarray:
    return np.load(io.BytesIO(content), allow_pickle=False)


@pytest.mark.parametrize(
    ("survey", "paths"),
    [
        ("1322301", ["01/23/1322301.jpeg"]),
        ("212", ["12/2/212.jpeg", "12/02/212.jpeg"]),
        ("1", ["1/1.jpeg", "01/00/1.jpeg"]),
    ],
)
def test_where_a_patch_may_lie(survey, paths):
    assert Tree("", "", ".jpeg", nested=True).paths(survey) == paths


@pytest.mark.parametrize("place", ["12/2", "12/02"])
def test_short_ids_are_found_padded_or_not(data, tmp_path, place):
    (tmp_path / place).mkdir(parents=True)
    shutil.copy(data / RGB_24, tmp_path / place / "212.jpeg")
    assert read(find_patches(str(tmp_path), "rgb", False), "212") == (data / RGB_24).read_bytes()
    with pytest.raises(FileNotFoundError):
        read(find_patches(str(tmp_path), "rgb", False), "213")


@pytest.mark.parametrize(("bands", "path"), [("rgb", RGB_24), ("nir", NIR_24)])
def test_the_tree_of_some_bands_is_found_below_any_folder(data, bands, path):
    for folder in (data / "glc24", (data / path).parents[3], (data / path).parents[2]):
        found = find_patches(str(folder), bands, False)
        assert found.ext == "jpg"
        assert read(found, ID_24) == (data / path).read_bytes()
        assert check_image(read(found, ID_24), "jpg") is None


def test_trees_behind_links_and_at_urls(data, tmp_path):
    (tmp_path / "data").symlink_to(data / "glc24")
    assert read(find_patches(str(tmp_path), "nir", False), ID_24) == (data / NIR_24).read_bytes()
    store = fsspec.filesystem("memory")
    for number, path in enumerate((RGB_24, NIR_24)):
        store.pipe(f"/patches/tree{number}/{'/'.join(path.split('/')[-3:])}", (data / path).read_bytes())
    store.makedirs("/patches/tree0/00/00")  # an empty folder of an archive that was cut short
    found = find_patches("memory://patches", "rgbnir", False)
    assert planes(read(found, ID_24)).shape == (4, 128, 128)


@pytest.mark.parametrize(("root", "key"), [("glc24", ID_24), ("glc24-cbnmed", "80000"), ("glc23", "5217083")])
def test_four_bands_of_two_trees(data, root, key):
    found = find_patches(str(data / root), "rgbnir", False)
    content = read(found, key)
    assert found.ext == "npy"
    assert check_image(content, "npy") is None
    values = planes(content)
    assert (values.shape, values.dtype) == ((4, 128, 128), np.uint8)
    files = sorted((data / root).rglob(f"{key}.jpeg"), key=lambda file: "nir" in str(file).lower())
    with Image.open(files[0]) as rgb, Image.open(files[1]) as nir:
        np.testing.assert_array_equal(values[:3], np.asarray(rgb).transpose(2, 0, 1))
        np.testing.assert_array_equal(values[3], np.asarray(nir))


@pytest.mark.parametrize("spoilt", ["grey", "truncated"])
def test_a_broken_half_spoils_the_stack(data, tmp_path, spoilt):
    for name, path in (("rgb", RGB_24), ("nir", NIR_24)):
        shutil.copytree((data / path).parents[2], tmp_path / name)
    folder = tmp_path / "rgb/01/23"
    shutil.copy(folder / f"{ID_24}.jpeg", folder / "1222301.jpeg")  # whole, and the first of its tree
    file = folder / f"{ID_24}.jpeg"
    file.write_bytes((data / NIR_24).read_bytes() if spoilt == "grey" else file.read_bytes()[:2000])
    with pytest.raises((ValueError, OSError), match="has 2 bands, expected 4" if spoilt == "grey" else "truncated"):
        read(find_patches(str(tmp_path), "rgbnir", False), ID_24)


def test_trees_that_are_not_there_or_not_single_are_named(data, tmp_path):
    rgb_only = (data / RGB_24).parents[3]
    with pytest.raises(InputError, match=r"PA_Train_SatellitePatches_RGB: has no nir JPEG patches; expected CD/AB"):
        find_patches(str(rgb_only), "rgbnir", False)
    with pytest.raises(InputError, match="absent: no such folder"):
        find_patches(str(tmp_path / "absent"), "rgb", False)
    for split in ("train", "test"):
        shutil.copytree(rgb_only, tmp_path / split)
    with pytest.raises(InputError, match=r"has 2 trees of rgb JPEG patches \(.*test.*train.*\); name one"):
        find_patches(str(tmp_path), "rgb", False)


@pytest.mark.parametrize("spelling", ["SatelitePatches", "SatellitePatches"])
def test_reflectance_is_kept_at_its_scale(data, tmp_path, spelling):
    shutil.copytree(data / "glc25/SatelitePatches", tmp_path / spelling)
    found = find_patches(str(tmp_path), "rgbnir", True)
    values = planes(read(found, ID_25))
    with rasterio.open(data / TIFF_25) as file:
        raw = file.read()
        assert file.descriptions == ("red", "green", "blue", "nir")
    assert (values.shape, values.dtype, raw.dtype) == ((4, 64, 64), np.uint16, np.int16)
    np.testing.assert_array_equal(values, raw)
    green, nir = np.median(values[1]), np.median(values[3])
    assert green < 1000 < 2000 < nir < 6000  # a meadow, x 10,000
    (nir_alone,) = planes(read(find_patches(str(tmp_path), "nir", True), ID_25))
    np.testing.assert_array_equal(nir_alone, raw[3])


def rewritten(path, change, **profile) -> bytes:
    """The real TIFF with other values or another profile."""
    with rasterio.open(path) as file:
        values, settings, names = change(file.read()), {**file.profile, **profile}, file.descriptions
    settings |= {"dtype": values.dtype, "count": len(values)}
    with rasterio.MemoryFile() as memory:
        with memory.open(**settings) as out:
            out.write(values)
            out.descriptions = profile.get("names", names)[: len(values)]
        return memory.read()


def test_no_data_becomes_zero(data):
    def spoil(values):
        values[:, 0, :5] = -1
        values[3, 1, 1] = 0
        return values

    with rasterio.open(data / TIFF_25) as file:
        raw = file.read()
    values = reflectance(rewritten(data / TIFF_25, spoil))
    assert not values[:, 0, :5].any()
    assert values[3, 1, 1] == 0
    assert (values == 0).sum() == 21
    np.testing.assert_array_equal(values[:, 2:], raw[:, 2:])


def test_bands_are_taken_by_name(data):
    content = rewritten(data / TIFF_25, lambda values: values[::-1], names=("nir", "blue", "green", "red"))
    np.testing.assert_array_equal(reflectance(content), reflectance((data / TIFF_25).read_bytes()))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda values: values[:3], "has 3 bands, expected 4"),
        (lambda values: (values / 10_000).astype(np.float32), "holds float32, expected integers"),
        (lambda values: np.full_like(values, -1), "no pixel has a value"),
    ],
)
def test_other_rasters_are_refused(data, change, said):
    with pytest.raises(ValueError, match=said):
        reflectance(rewritten(data / TIFF_25, change))


def test_a_truncated_tiff_is_not_read(data):
    with pytest.raises(OSError):
        reflectance((data / TIFF_25).read_bytes()[:-4000])


def test_trees_of_flat_files(data):
    found = find_trees(str(data / "glc25"), "_cube[.]pt")
    assert [tree.nested for tree in found] == [False, False]
    assert [tree.before for tree in found] == [
        "GLC25-PA-test-bioclimatic_monthly_",
        "GLC25-PA-test-landsat_time_series_",
    ]
