import io

import numpy as np
import pytest
from PIL import Image
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.stores.shards import Sample, Shards, write_index, write_shard
from sdm_ray.streams.image_dataset import ImageDataset, _pixels, crops, days_and_years


def encoded(array: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "npy":
        np.save(file, array)
    else:
        Image.fromarray(array).save(file, {"jpg": "JPEG", "png": "PNG"}[kind])
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = UPath(tmp_path_factory.mktemp("shards"))
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(6)]
    patches = [rng.integers(1, 9000, (4, 20, 20), np.uint16) for _ in range(3)]
    broken = b"no image at all"
    samples = [
        Sample(f"photo{i}", "png", encoded(p, "png"), "plant", 5.0 + i, 45, i // 2) for i, p in enumerate(photos)
    ]
    samples += [
        Sample(f"patch{i}", "npy", encoded(p, "npy"), "satellite", 5.0 + i, 46, i) for i, p in enumerate(patches)
    ]
    samples.append(Sample("broken", "jpg", broken, "landscape", 9, 46, 9))
    write_index(place, [write_shard(place, 0, samples)])
    return place


def dataset(folder: UPath, scale: str, size: int, augment: str = "none") -> ImageDataset:
    shards = Shards(folder)
    rows = shards.of_scale(scale)
    index = shards.index.iloc[rows]
    return ImageDataset(
        str(folder),
        scale,
        rows,
        index[["lon", "lat"]].to_numpy(np.float64),
        index["place_id"].to_numpy(),
        size,
        augment,
    )


def test_photos_come_in_the_order_asked_for(folder):
    batch = dataset(folder, "plant", 32).read(np.array([4, 0, 5]), np.zeros(3, np.int64))
    assert batch["image_plant"].shape == (3, 3, 32, 32) and batch["image_plant"].dtype == np.uint8
    assert batch["lonlat"][:, 0].tolist() == [9.0, 5.0, 10.0]
    assert batch["place"].tolist() == [2, 0, 2]


def test_arrays_keep_their_values_and_are_cut_or_padded_about_the_centre(folder):
    ids = np.array([1])
    whole = dataset(folder, "satellite", 20).read(ids, ids)["image_satellite"]
    cut = dataset(folder, "satellite", 12).read(ids, ids)["image_satellite"]
    padded = dataset(folder, "satellite", 24).read(ids, ids)["image_satellite"]
    assert np.array_equal(cut, whole[..., 4:16, 4:16])
    assert np.array_equal(padded[..., 2:22, 2:22], whole) and padded[..., :2, :].sum() == 0


def test_large_photos_are_decoded_small(tmp_path):
    """At a half of its size a JPEG is decoded otherwise than by shrinking: by a few grey levels of 255, not more."""
    folder, rng = UPath(tmp_path), np.random.default_rng(0)
    y, x = np.mgrid[:300, :400]
    scene = np.stack([128 + 90 * np.sin(x / 9), 128 + 90 * np.cos(y / 7), 60 + (x + y) / 5], axis=2)
    photo = np.clip(scene + rng.normal(0, 8, scene.shape), 0, 255).astype(np.uint8)
    content = encoded(photo, "jpg")
    write_index(folder, [write_shard(folder, 0, [Sample("large", "jpg", content, "plant", 5, 45, 0)])])
    whole = Image.open(io.BytesIO(content)).convert("RGB")
    for size in (150, 128, 60, 300):  # exactly a half, between a half and all, less than a quarter, all
        found = dataset(folder, "plant", size).read(np.array([0]), np.array([0]))["image_plant"][0].astype(float)
        fitted = whole.crop((50, 0, 350, 300)).resize((size, size), Image.Resampling.BILINEAR)
        expected = np.asarray(fitted).transpose(2, 0, 1).astype(float)
        assert np.abs(found - expected).mean() < (3 if size < 300 else 1e-9)
        assert abs(found.mean() - expected.mean()) < 0.5
        assert found.std() > 0.93 * expected.std()  # no detail is lost: it is never decoded smaller than it is wanted


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("size", [96, 40])
def test_jpegs_are_decoded_as_pillow_decodes_them(mode, size):
    ramp = np.linspace(0, 255, 101, dtype=np.uint8)
    colours = np.stack([ramp + 0 * ramp[:, None], ramp[:, None] + 0 * ramp, 255 - ramp + 0 * ramp[:, None]], axis=-1)
    file = io.BytesIO()
    Image.fromarray(colours).convert(mode).save(file, "JPEG")
    plain = Image.open(file)
    if mode != "CMYK":  # which is decoded whole
        plain.draft("RGB", (size, size))
    assert np.array_equal(_pixels(file.getvalue(), size), np.asarray(plain.convert("RGB")))


def test_harmless_faults_of_a_jpeg_are_no_matter_and_a_cut_one_is_an_error():
    data = encoded(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8), "jpg")
    faulty = data[:-2] + b"\0" * 9 + data[-2:]
    assert np.array_equal(_pixels(faulty, 48), _pixels(data, 48))
    with pytest.raises(OSError, match="truncated"):
        _pixels(data[: len(data) // 2], 48)


def test_nothing_has_the_shape_of_something(folder):
    nothing = np.empty(0, np.int64)
    assert dataset(folder, "plant", 32).read(nothing, nothing)["image_plant"].shape == (0, 3, 32, 32)
    assert dataset(folder, "satellite", 20).read(nothing, nothing)["image_satellite"].shape == (0, 4, 20, 20)


@pytest.mark.parametrize(("scale", "augment"), [("plant", "photo"), ("satellite", "dihedral")])
def test_augmentation_depends_on_epoch_and_id_alone(folder, scale, augment):
    source = dataset(folder, scale, 20, augment)
    ids = np.array([0, 1, 2, 1])
    epochs = np.array([0, 0, 3, 5])
    for name in [f"draws_{scale}", *([f"image_{scale}"] if augment == "photo" else [])]:
        together = source.read(ids, epochs)[name]
        alone = np.concatenate([source.read(ids[i : i + 1], epochs[i : i + 1])[name] for i in range(4)])
        assert np.array_equal(together, alone)
        assert not np.array_equal(together, source.read(ids, epochs + 1)[name])
    assert f"draws_{scale}" not in source.subset(ids, plain=True).read(ids, epochs)


def test_crops_lie_inside(folder):
    boxes = crops(np.arange(1000, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    assert boxes.min() >= 0 and boxes.max() <= 1 + 1e-12
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assert area.min() > 0.3


def test_a_photo_that_cannot_be_decoded_is_named(folder):
    with pytest.raises(InputError, match=r"image broken\.jpg cannot be decoded"):
        dataset(folder, "landscape", 32).read(np.array([0]), np.array([0]))


def test_patches_of_other_bands_are_named(tmp_path):
    arrays = {"four": np.ones((4, 8, 8), np.uint16), "six": np.ones((6, 8, 8), np.uint16)}
    samples = [Sample(key, "npy", encoded(each, "npy"), "satellite", 5, 46, 0) for key, each in arrays.items()]
    place = UPath(tmp_path)
    write_index(place, [write_shard(place, 0, samples)])
    with pytest.raises(InputError, match=r"image six.npy has shape \(6, 8, 8\), others of its scale \(4, 8, 8\)"):
        dataset(place, "satellite", 8).read(np.array([0, 1]), np.zeros(2, np.int64))


def test_dates_say_what_they_say():
    found = days_and_years(["2021-04-27T16:10", "2018", "", "2020-12-31"])
    assert found[0].tolist() == [117, 2021] and found[3].tolist() == [366, 2020]
    assert np.isnan(found[1]).tolist() == [True, False] and np.isnan(found[2]).all()
