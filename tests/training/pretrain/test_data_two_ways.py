"""Satellite images come from windows of a cube or from shards of patches: the same pixels give the same batches."""

import io

import numpy as np
import pytest
import torch
from helpers.small import BLOCKS, GRID, LOCATION, TOWER
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.windows import whole
from sdm_ray.models.augment import Augmentation
from sdm_ray.models.config import AlignConfig
from sdm_ray.models.contrastive_model import AlignmentModel
from sdm_ray.stores import artefact
from sdm_ray.stores.cube import Cube, create_cube
from sdm_ray.stores.shards import Sample, write_index, write_shard
from sdm_ray.training.pretrain.config import PretrainConfig
from sdm_ray.training.pretrain.data import read_sources

SIZE = 32


def config(world, scale: dict) -> PretrainConfig:
    scale = scale | {"size": SIZE, "augment": "dihedral", "band_dropout": 0.3, "tower": TOWER}
    return PretrainConfig(run_dir=str(world), scales={"satellite": scale}, location=LOCATION, dim=8, blocks=BLOCKS)


def as_shards(folder: UPath, images: np.ndarray, lonlat: np.ndarray, place: np.ndarray) -> None:
    samples = []
    for image, (lon, lat), number in zip(images, lonlat, place, strict=True):
        content = io.BytesIO()
        np.save(content, image)
        samples.append(Sample(f"w{number:04}", "npy", content.getvalue(), "satellite", lon, lat, int(number)))
    folder.mkdir()
    write_index(folder, [write_shard(folder, 0, samples)])
    artefact.seal(folder, artefact.Record(kind="test", fingerprint="patches"))


def test_windows_and_patches_of_the_same_pixels_are_the_same_batch(world):
    windows = read_sources(config(world, {"cube": "cube.zarr", "stride_m": 6000}))["satellite"].dataset
    every = np.arange(len(windows))
    plain = windows.subset(every, plain=True).read(every, every * 0)
    as_shards(UPath(world / "patches"), plain["image_satellite"], plain["lonlat"], plain["place"])
    patches = read_sources(config(world, {"shards": "patches"}))["satellite"].dataset

    ids, epochs = every[::-3], every[::-3] % 4
    ours, theirs = windows.read(ids, epochs), patches.read(ids, epochs)
    assert set(ours) == set(theirs) == {"image_satellite", "lonlat", "place", "draws_satellite"}
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)

    torch.manual_seed(0)
    model = AlignmentModel(AlignConfig(location=LOCATION, towers={"satellite": TOWER}, dim=8))
    augment = Augmentation(turns=True, band_dropout=0.3)
    pairs = []
    for batch in (ours, theirs):
        given = {name: torch.from_numpy(values) for name, values in batch.items()}
        given["image_satellite"] = augment(given["image_satellite"], given["draws_satellite"])
        pairs.append(model.pairs("satellite", given))
    assert torch.equal(pairs[0].other, pairs[1].other) and torch.equal(pairs[0].location, pairs[1].location)


def test_places_without_data_are_left_out_and_counted(world, capsys):
    path = UPath(world / "half.zarr")
    create_cube(path, GRID, ["2021"], ["red", "nir"], chunk=32, shard=64)
    counts = np.ones(GRID.shape, np.uint8)
    counts[:, :32] = 0
    Cube(path, writable=True).write(whole(GRID), 0, np.ones((2, *GRID.shape), np.uint16), counts)
    artefact.seal(path, artefact.Record(kind="test", fingerprint="half"))
    found = read_sources(config(world, {"cube": "half.zarr", "stride_m": 4000}))["satellite"]
    assert len(found) == 8 * 16 and found.xy()[:, 0].min() >= GRID.x0 + 32_000
    assert "half.zarr: 161 of 289 places have no data and are left out" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"half.zarr holds no place with data among those 300000 m apart"):
        read_sources(config(world, {"cube": "half.zarr", "stride_m": 300_000}))
