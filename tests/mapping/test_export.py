"""Exports open in what everybody has, with the map's own numbers and place."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray
from PIL import Image
from upath import UPath

from sdm_ray import job
from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window, whole
from sdm_ray.mapping import export
from sdm_ray.mapping.config import ExportConfig
from sdm_ray.mapping.quality_layers import LAYERS
from sdm_ray.stores import artefact
from sdm_ray.stores.encoding import decode
from sdm_ray.stores.maps import Layer, Map, MapSpec, create_map
from sdm_ray.stores.pyramid import create_levels, fill_level

GRID = Grid(4_000_000, 3_300_000, 1000, 700, 300)
NAMES = ["Abies alba", "Abies  alba", "Sorbus (Aria)", *(f"Species {number}" for number in range(17))]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = UPath(tmp_path_factory.mktemp("export"))
    rng = np.random.default_rng(0)
    values = rng.random((20, *GRID.shape)).astype(np.float32)
    values[:, :, :50] = np.nan
    species = pd.DataFrame({"species_id": range(20), "name": NAMES})
    layers = {"richness": Layer("float32", float("nan"), {}), "inputs": LAYERS["inputs"]}
    create_map(folder / "map.zarr", GRID, MapSpec(species, "occurrence", 128, layers, bits=16))
    writer = Map(folder / "map.zarr", writable=True)
    for row in range(0, 300, 128):
        for col in range(0, 700, 128):
            window = Window(row, col, min(128, 300 - row), min(128, 700 - col))
            part = values[:, *window.slices]
            known = np.isfinite(part[0])
            inputs = np.where(known, np.where(rng.random(known.shape) < 0.5, 3, 7), 0).astype(np.uint8)
            writer.write(window, part, {"richness": np.where(known, part.sum(0), np.nan), "inputs": inputs})
    create_levels(folder / "map.zarr", 1)
    for row in range(0, 150, 128):
        for col in range(0, 350, 128):
            fill_level(folder / "map.zarr", 1, Window(row, col, min(128, 150 - row), min(128, 350 - col)))
    artefact.seal(folder / "map.zarr", artefact.Record(kind="map", fingerprint="a" * 32, sources=["made up"]))
    return folder


def make(run_dir, **values) -> UPath:
    config = ExportConfig(run_dir=str(run_dir), tracking={"uri": f"sqlite:///{run_dir}/mlflow.db"}, **values)
    job.execute("export", config, export.run, "export")
    return config.path(config.output)


def test_every_species_is_a_cloud_optimized_geotiff(run_dir):
    output = make(run_dir, layers=["richness", "inputs"], pictures=False)
    files = sorted(path.name for path in output.glob("*.tif"))
    assert len(files) == 22 and {"abies-alba.tif", "abies-alba-1.tif", "sorbus-aria.tif", "richness.tif"} <= set(files)
    source = Map(run_dir / "map.zarr")
    for number, name in ((0, "abies-alba"), (1, "abies-alba-1"), (19, "species-16")):
        with rasterio.open(str(output / f"{name}.tif")) as found:
            assert found.crs.to_epsg() == 3035 and tuple(found.bounds) == GRID.bounds
            assert found.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG" and found.overviews(1)
            assert found.descriptions == (NAMES[number],) and found.tags()["probability_kind"] == "occurrence"
            assert found.tags()["sources"] == "made up"
            stored = found.read(1)
            assert found.nodata == 65535 and found.scales[0] == pytest.approx(1 / 65534)
        expected = source.read(whole(GRID), number)
        np.testing.assert_array_equal(decode(stored), expected)
    assert (output / "sources.txt").read_text() == "made up\n"
    with rasterio.open(str(output / "richness.tif")) as found:
        np.testing.assert_array_equal(found.read(1), source.layer("richness"))
        assert found.tags()["sources"] == "made up"
        assert np.isnan(found.nodata)


def test_overviews_of_flags_hold_flags(run_dir):
    """A mean of the flags 3 and 7 would be 5, which says something else."""
    output = make(run_dir, species=["Species 3"], layers=["inputs", "richness"], pictures=False, output="flags")
    with rasterio.open(str(output / "inputs.tif")) as found:
        (factor, *_) = found.overviews(1)
        coarse = found.read(1, out_shape=(300 // factor, 700 // factor))
        assert set(np.unique(coarse)) == {0, 3, 7}
    with rasterio.open(str(output / "richness.tif")) as found:
        coarse = found.read(1, out_shape=(300 // factor, 700 // factor))
    means = np.nanmean(Map(run_dir / "map.zarr").layer("richness").reshape(150, 2, 350, 2)[:, :, 25:], axis=(1, 3))
    np.testing.assert_allclose(coarse[:, 25:], means, rtol=1e-5)


def test_file_names_keep_letters_readable():
    names = ["Épicéa commun", "Sapin élevé", "Sapin eleve", "Fågelbär", "Ель", "?", "Sorbus \u00d7 thuringiaca"]
    expected = ["epicea-commun", "sapin-eleve", "sapin-eleve-2", "fagelbar", "ель", "species", "sorbus-thuringiaca"]
    assert export._file_names(names) == expected


def test_the_item_tells_where_and_what(run_dir):
    output = make(run_dir, species=["Sorbus (Aria)"], output="one")
    item = json.loads((output / "item.json").read_text())
    assert item["stac_version"] == "1.1.0" and set(item["assets"]) == {"sorbus-aria", "sorbus-aria-picture"}
    ring = np.array(item["geometry"]["coordinates"][0])
    assert (ring[0] == ring[-1]).all() and len(ring) > 50
    west, south, east, north = item["bbox"]
    assert west == pytest.approx(ring[:, 0].min(), abs=1e-5) and 45 < south < north < 55 and 0 < west < east < 20
    assert item["properties"]["proj:shape"] == [300, 700] and "made up" in item["properties"]["description"]
    assert Image.open(str(output / "sorbus-aria.png")).size[0] > 300


def test_the_same_map_opens_in_xarray_and_gdal_alike(run_dir):
    output = make(run_dir, species=["Species 3"], pictures=False, output="two")
    with xarray.open_zarr(str(run_dir / "map.zarr"), group="0", consolidated=False) as opened:
        expected = opened["probability"].sel(species="Species 3").values
    with rasterio.open(str(output / "species-3.tif")) as found:
        values = found.read(1, masked=True) * found.scales[0]
    np.testing.assert_allclose(values.filled(np.nan), expected, atol=1e-6)


def test_species_may_be_the_bands_of_one_file(run_dir):
    wanted = ["Species 3", "Abies alba", *(f"Species {number}" for number in range(4, 17))]
    output = make(run_dir, species=wanted, files="together", pictures=False, output="together")
    source = Map(run_dir / "map.zarr")
    with rasterio.open(str(output / "probability.tif")) as found:
        assert found.descriptions == tuple(wanted) and found.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        for band in (1, 2, 15):
            number = NAMES.index(wanted[band - 1])
            np.testing.assert_array_equal(decode(found.read(band)), source.read(whole(GRID), number))
    item = json.loads((output / "item.json").read_text())
    assert [band["name"] for band in item["assets"]["probability"]["bands"]] == wanted


def test_layers_have_pictures_too(run_dir):
    output = make(run_dir, species=["Species 3"], layers=["richness", "inputs"], output="pictures")
    shown = {file.stem: Image.open(str(file)).size for file in output.glob("*.png")}
    assert shown.keys() == {"species-3", "richness", "inputs"} and min(size[0] for size in shown.values()) > 300


def test_gdal_finds_the_arrays_and_where_they_lie(run_dir):
    """GDAL reads Zarr shards from version 3.13 on; older ones name the codec they lack, and 3.12 lists no array."""
    place = f'ZARR:"{run_dir}/map.zarr"'
    version = tuple(map(int, rasterio.__gdal_version__.split(".")[:2]))
    if version < (3, 12) or version >= (3, 13):
        with warnings.catch_warnings(action="ignore"), rasterio.open(place) as found:
            listed = {name.rpartition("/")[2] for name in found.subdatasets}
        assert listed >= {"probability", "richness", "inputs"}
    if version < (3, 13):
        with pytest.raises(rasterio.errors.RasterioIOError, match="sharding_indexed"):
            rasterio.open(f"{place}:/0/richness")
        return
    with rasterio.open(f"{place}:/0/richness") as found:
        assert found.crs.to_epsg() == 3035 and tuple(found.bounds) == GRID.bounds
        np.testing.assert_array_equal(found.read(1), Map(run_dir / "map.zarr").layer("richness"))


def test_what_a_map_does_not_have_is_named(run_dir):
    with pytest.raises(InputError, match="has no species 'Quercus'; found Abies alba"):
        make(run_dir, species=["Quercus"], output="none")
    with pytest.raises(InputError, match="has no layer depth; found inputs, richness"):
        make(run_dir, layers=["depth"], output="none")


def test_richness_that_would_show_a_sensitive_species_is_refused(run_dir):
    with pytest.raises(InputError, match=r"layers: richness is a sum over all species.* Species 3 is"):
        make(run_dir, layers=["richness"], sensitive={"Species 3": None}, output="none")


def test_richness_of_relative_suitabilities_is_refused(tmp_path):
    """Maps of earlier versions hold such a layer."""
    species = pd.DataFrame({"species_id": [0], "name": ["Abies alba"]})
    layers = {"richness": Layer("float32", float("nan"), {})}
    create_map(UPath(tmp_path) / "map.zarr", GRID, MapSpec(species, "relative", 128, layers))
    artefact.seal(UPath(tmp_path) / "map.zarr", artefact.Record(kind="map", fingerprint="a" * 32))
    with pytest.raises(InputError, match=r"map\.zarr: layer richness: the probabilities are of kind 'relative'"):
        make(tmp_path, layers=["richness"], output="none")
