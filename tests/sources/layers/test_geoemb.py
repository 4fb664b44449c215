"""Embeddings in Zarr by the `geoemb:` convention: what `embed` writes, and stores of TESSERA by UTM zone."""

import jsonschema
import numpy as np
import pytest
import zarr
from helpers.embedding_files import NORTH, UTM, WEST
from pyproj import Transformer
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.layers.config import Rasters
from sdm_ray.sources.layers.rasters import covariates
from sdm_ray.stores.embeddings import Embeddings, EmbeddingSpec, create_embeddings

JOB = PrepareConfig(land={"source": "virtual"})
REQUIRED = {
    "type": "object",
    "properties": {
        "zarr_conventions": {
            "type": "array",
            "contains": {"properties": {"uuid": {"const": "61c12cc5-0e28-4056-999a-480cf3fb7e4c"}}},
        },
        "geoemb:type": {"enum": ["pixel", "chip"]},
        "geoemb:dimensions": {"type": "integer", "minimum": 1},
        "geoemb:model": {"type": "string", "format": "uri"},
        "geoemb:source_data": {"type": "array", "items": {"type": "string", "format": "uri"}, "minItems": 1},
        "geoemb:data_type": {"type": "string"},
        "geoemb:gsd": {"type": "number", "exclusiveMinimum": 0},
        "geoemb:spatial_layout": {"enum": ["utm_zones", "global"]},
        "geoemb:quantization": {
            "type": "object",
            "required": ["method", "original_dtype"],
            "properties": {"scale": {"required": ["type", "array_name"]}},
        },
    },
    "required": [
        "zarr_conventions", "geoemb:type", "geoemb:dimensions", "geoemb:model", "geoemb:source_data",
        "geoemb:data_type",
    ],
}  # fmt: skip
"""Of the schema of the convention, version 1."""


def made(path, **settings):
    entry = {"name": "tessera", "tiles": str(path), "form": "geoemb"} | settings
    return covariates(Rasters(source="rasters", embeddings=[entry], resolution_m=1000), JOB)


@pytest.fixture
def own(tmp_path):
    grid = Grid(4_000_000, 3_000_000, 1000, 20, 12)
    attrs = {"sdm_ray": {"tile": 16, "model_fingerprint": "abc"}}
    scale = np.array([0.01, 0.02, 0.5], np.float32)
    create_embeddings(UPath(tmp_path / "embeddings.zarr"), grid, EmbeddingSpec(scale, 16, {}, attrs, ("def",)))
    store = Embeddings(UPath(tmp_path / "embeddings.zarr"), writable=True)
    stored = np.random.default_rng(0).integers(-127, 128, (3, 12, 16)).astype(np.int8)
    stored[:, 2, 3] = -128
    store.write(Window(0, 0, 12, 16), stored, {})
    return tmp_path / "embeddings.zarr", grid, stored, scale


def test_what_embed_writes_follows_the_convention_and_is_read_back(own):
    path, grid, stored, scale = own
    attrs = zarr.open_group(path).attrs.asdict()
    jsonschema.validate(attrs, REQUIRED)
    assert attrs["geoemb:source_data"] == ["urn:sdm-ray:artefact:def"] and attrs["geoemb:gsd"] == 1000
    found = made(path, name="ours", year=2020)
    assert found.grid == grid and found.names == ["ours_000", "ours_001", "ours_002"]
    want = stored.astype(np.float32) * scale[:, None, None]
    want[:, 2, 3] = np.nan
    np.testing.assert_array_equal(found.values[:, :, :16], want)
    assert np.isnan(found.values[:, :, 16:]).all()
    assert found.embeddings[0].version == "urn:sdm-ray:model:abc"


def test_a_store_by_zones_is_read_at_the_year_asked_for(tmp_path):
    root = zarr.open_group(tmp_path / "tessera.zarr", mode="w", zarr_format=3)
    root.attrs.put({
        "zarr_conventions": [{"uuid": "61c12cc5-0e28-4056-999a-480cf3fb7e4c", "name": "geoemb:"}],
        "geoemb:type": "pixel", "geoemb:dimensions": 4, "geoemb:model": "https://geotessera.org/model/1.0",
        "geoemb:source_data": ["https://sentinel.esa.int/web/sentinel/missions/sentinel-2"],
        "geoemb:data_type": "int8", "geoemb:spatial_layout": "utm_zones",
        "geoemb:quantization": {
            "method": "per_pixel_scale", "original_dtype": "float32", "quantized_dtype": "int8",
            "scale": {"type": "array", "array_name": "scales", "nodata": "+inf"},
        },
    })  # fmt: skip
    zone = root.create_group("utm32")
    zone.attrs.put({"proj:code": UTM, "spatial:transform": [10.0, 0.0, WEST, 0.0, -10.0, NORTH]})
    numbers = np.random.default_rng(2)
    stored = numbers.integers(-127, 128, (2, 4, 300, 300)).astype(np.int8)
    scales = numbers.uniform(0.01, 0.1, (2, 300, 300)).astype(np.float32)
    scales[:, :100], scales[:, 100:120] = np.inf, np.nan
    for name, values, axes in (
        ("embeddings", stored, ["time", "band", "y", "x"]),
        ("scales", scales, ["time", "y", "x"]),
        ("time", np.array([2023, 2024], np.int32), ["time"]),
    ):
        array = zone.create_array(name, shape=values.shape, dtype=values.dtype, dimension_names=axes)
        array[...] = values
    found = made(tmp_path / "tessera.zarr", year=2024)
    assert found.embeddings[0].version == "https://geotessera.org/model/1.0" and found.embeddings[0].year == 2024
    rows, cols = np.mgrid[:300, :300]
    to_grid = Transformer.from_crs(UTM, "EPSG:3035", always_xy=True)
    cell = found.grid.index(*to_grid.transform(WEST + 10 * (cols + 0.5), NORTH - 10 * (rows + 0.5)))
    values = stored[1] * np.where(np.isfinite(scales[1]), scales[1], np.nan)
    for each in np.unique(cell):
        known = (cell == each) & np.isfinite(values).all(axis=0)
        want = values[:, known].mean(axis=1) if known.any() else np.full(4, np.nan)
        np.testing.assert_allclose(found.values.reshape(4, -1)[:, each], want, rtol=1e-4, atol=1e-6)
    with pytest.raises(InputError, match=r"has no embeddings of 2019; found 2023, 2024"):
        made(tmp_path / "tessera.zarr", year=2019)
    with pytest.raises(InputError, match="expected `year`"):
        made(tmp_path / "tessera.zarr")
    root.attrs["geoemb:quantization"] = {"method": "product_quantization", "original_dtype": "float32"}
    with pytest.raises(InputError, match="is quantised by product_quantization without a scale"):
        made(tmp_path / "tessera.zarr", year=2024)


def test_a_group_without_the_convention_is_refused(tmp_path):
    zarr.open_group(tmp_path / "plain.zarr", mode="w", zarr_format=3)
    with pytest.raises(InputError, match="has no attribute geoemb:type; expected a group of the convention geoemb:"):
        made(tmp_path / "plain.zarr", year=2024)
