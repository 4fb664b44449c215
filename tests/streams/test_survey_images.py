"""Images of surveys: found by id or by place, one of them in each batch, whatever the order and the ranks."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.geo.windows import whole
from sdm_ray.stores.cube import Cube, create_cube
from sdm_ray.stores.labels import SparseLabels
from sdm_ray.stores.shards import Sample, write_index, write_shard
from sdm_ray.streams.loader import Stream, batches
from sdm_ray.streams.places import ListedPlaces
from sdm_ray.streams.reader_tasks import ReaderTasks
from sdm_ray.streams.survey_dataset import SurveyDataset
from sdm_ray.streams.survey_images import Wanted, images_of
from sdm_ray.streams.windows import Windows

KEYS = {
    "glc24-7": ("7", "occurrence"),
    "glc24-po-7": ("7", "relative"),
    "glc24-9": ("9", "occurrence"),
    "glc23-3008574": ("3008574-*", "occurrence"),
    "glc25-rgbnir-11": ("11", "occurrence"),
    "other-12": ("12", ""),
}
"""Keys of patches as the sources write them, and what they are images of."""


def sample(
    key: str,
    shade: int,
    lonlat: tuple[float, float],
    scale: str = "satellite",
    place: int = 0,
    survey: tuple[str, str] = ("", ""),
) -> Sample:
    file = io.BytesIO()
    Image.new("RGB", (12, 12), (shade, shade, shade)).save(file, "PNG")
    return Sample(key, "png", file.getvalue(), scale, *lonlat, place, "", *survey)


def shards(folder, samples: list[Sample]) -> UPath:
    path = UPath(folder)
    write_index(path, [write_shard(path, 0, samples)])
    return path


@pytest.fixture(scope="module", params=["today", "format version 1"])
def patches(request, tmp_path_factory) -> UPath:
    """Patches of the challenges; the shade is their number."""
    some = [
        sample(key, number + 1, (5.0, 50.0 + number), place=number, survey=survey)
        for number, (key, survey) in enumerate(KEYS.items())
    ]
    folder = tmp_path_factory.mktemp("patches")
    found = shards(folder, some)
    if request.param != "today":
        index = pd.read_parquet(folder / "index.parquet")
        index.drop(columns=["survey_id", "survey_kind"]).to_parquet(folder / "index.parquet")
    return found


def shades(found, ids=None) -> list[int]:
    """The shade of the image that each survey is given, 0 for none."""
    ids = np.arange(len(found.rows)) if ids is None else ids
    return found.read(ids, np.zeros_like(ids))["image_satellite"][:, 0, 0, 0].tolist()


def test_a_survey_has_its_own_patch_by_its_id(patches):
    ids = pd.Series(["9", "7", "3008574-2019-155", "3008574-2020-003", "11", "12", "3008574", "1"])
    wanted = Wanted(ids, np.zeros((len(ids), 2)))
    assert shades(images_of(patches, "satellite", 12, wanted)) == [3, 1, 4, 4, 5, 6, 0, 0]
    records = Wanted(ids, np.zeros((len(ids), 2)), presence_only=True)
    assert shades(images_of(patches, "satellite", 12, records)) == [0, 2, 0, 0, 0, 6, 0, 0]
    with pytest.raises(InputError, match="found by the ids of surveys; expected survey_id"):
        images_of(patches, "satellite", 12, Wanted(None, np.zeros((1, 2))))
    with pytest.raises(InputError, match="no images of scale plant"):
        images_of(patches, "plant", 12, wanted)


def test_the_nearest_place_counts_within_the_distance(patches):
    metres = 1 / 111_000
    lonlat = np.array([[5.0, 50 + 300 * metres], [5.0, 52.0], [5.0, 53.5]])
    near = images_of(patches, "satellite", 12, Wanted(None, lonlat, within_m=400))
    assert shades(near) == [1, 3, 0]
    assert shades(images_of(patches, "satellite", 12, Wanted(None, lonlat, within_m=200))) == [0, 3, 0]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> SurveyDataset:
    """Sixty surveys in a cube; two in three have photos of plants, five each."""
    folder = tmp_path_factory.mktemp("photos")
    grid = Grid(x0=4_000_000, y1=3_001_000, resolution=10, width=100, height=100)
    create_cube(UPath(folder / "cube.zarr"), grid, ["2021"], ["red"], chunk=25, shard=100)
    pixels = np.random.default_rng(0).integers(1, 9000, (1, 100, 100)).astype(np.uint16)
    Cube(UPath(folder / "cube.zarr"), writable=True).write(whole(grid), 0, pixels, np.ones((100, 100), np.uint8))
    rng = np.random.default_rng(1)
    lonlat = np.stack(to_lonlat(4_000_000 + rng.uniform(0, 1000, 60), 3_000_000 + rng.uniform(0, 1000, 60)), axis=1)
    some = [
        sample(f"plant-{survey}-{number}", survey * 4 + number, tuple(lonlat[survey]), "plant", survey)
        for survey in range(60)
        if survey % 3
        for number in range(5)
    ]
    found = images_of(shards(folder, some), "plant", 12, Wanted(None, lonlat, within_m=0.01))
    return SurveyDataset(
        rows=np.arange(5, 60),
        all_lonlat=lonlat,
        covariates=np.zeros((60, 0), np.float32),
        known=np.zeros((60, 0), bool),
        labels=SparseLabels.from_lists([[0]] * 60, 1),
        images=Windows(str(folder / "cube.zarr"), ("red",), ListedPlaces(lonlat), 8),
        shards=[found],
        augment=True,
        hide=0.25,
        seed=4,
    )


def test_training_draws_one_of_several_images_and_prediction_takes_the_first(dataset):
    ids = np.arange(55)
    drawn = [dataset.read(ids, np.full(55, number)) for number in range(40)]
    seen = np.stack([each["image_plant"][:, 0, 0, 0] for each in drawn])
    survey = np.arange(5, 60)
    assert (seen[:, survey % 3 == 0] == 0).all() and not drawn[0]["has_plant"][survey % 3 == 0].any()
    offsets = seen[:, survey % 3 > 0].astype(int) - 4 * survey[survey % 3 > 0]
    assert np.bincount(offsets.ravel(), minlength=5).min() > 0.15 * offsets.size and offsets.max() == 4
    hidden = np.stack([each["hide_plant"] for each in drawn])
    assert 0.2 < hidden.mean() < 0.3
    assert not np.array_equal(hidden, np.stack([each["hide_satellite"] for each in drawn]))
    again = dataset.subset(np.arange(30, 60)).read(np.arange(30), np.full(30, 7))
    assert np.array_equal(again["image_plant"], drawn[7]["image_plant"][25:])
    plain = dataset.subset(np.arange(60), plain=True).read(np.arange(60), np.zeros(60, np.int64))
    first = np.where(np.arange(60) % 3 > 0, 4 * np.arange(60), 0)
    assert plain["image_plant"][:, 0, 0, 0].tolist() == first.tolist()
    assert "hide_plant" not in plain and "draws_plant" not in plain
    nothing = dataset.read(ids[:0], ids[:0])  # of a rank without rows
    assert nothing["image_plant"].shape == (0, 3, 12, 12) and nothing["draws_plant"].shape == (0, 8)


def stream_of(dataset: SurveyDataset, *, with_cube: bool, readers: int) -> Stream:
    return Stream.of(dataset if with_cube else replace(dataset, images=None), 3, 16, readers=ReaderTasks(readers))


@pytest.mark.parametrize("readers", [0, 1])
@pytest.mark.parametrize("with_cube", [True, False])
def test_parts_that_are_read_apart_make_the_batch_that_is_read_at_once(dataset, ray_cluster, with_cube, readers):
    stream = stream_of(dataset, with_cube=with_cube, readers=readers)
    for rank, world in ((0, 1), (0, 2), (1, 2)):
        found = list(batches(stream, rank, world, 2, 6))
        assert len(found) == 4
        for step, batch in enumerate(found):
            expected = stream.take(2 + step, rank, world)
            assert batch.keys() == expected.keys()
            for name, values in expected.items():
                assert np.array_equal(batch[name], values), name


def test_the_nearest_image_has_a_distance(tmp_path):
    x, y = 4_000_000.0, 3_100_000.0
    lonlat = np.column_stack(to_lonlat(np.array([x, x + 300, x + 5000]), np.full(3, y)))
    path = shards(tmp_path, [sample("a", 1, tuple(lonlat[0]))])
    batch = images_of(path, "satellite", 12, Wanted(None, lonlat, within_m=1000)).read(np.arange(3), np.zeros(3, int))
    assert batch["has_satellite"].tolist() == [True, True, False]
    assert batch["distance_satellite"] == pytest.approx([0, 300, 0], abs=0.1)


def test_a_placebo_exchanges_the_images_of_places_and_keeps_who_shares_one(tmp_path):
    places = [(5.0, 50.0 + number) for number in range(8)]
    path = shards(tmp_path, [sample(str(n), n + 1, each, place=n) for n, each in enumerate(places)])
    lonlat = np.repeat(places, 2, axis=0)  # two surveys a place, and one without
    found = images_of(path, "satellite", 12, Wanted(None, np.vstack([lonlat, [(9.0, 40.0)]]), within_m=10))
    shown, true = (
        each.read(np.arange(17), np.zeros(17, int))["image_satellite"][:, 0, 0, 0]
        for each in (found.shuffled(1), found)
    )
    assert shown[16] == 0 and (shown[:16:2] == shown[1:16:2]).all()
    assert sorted(shown) == sorted(true) and (shown != true).sum() >= 8
