"""Image shards: equal bytes, ranged reads."""

import hashlib
import json
import tarfile
import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.stores.shards import Sample, Shards, together, write_index, write_shard


def samples(first: int, count: int) -> list[Sample]:
    return [
        Sample(f"p{i}", "jpg", bytes([i % 251]) * (300 + 200 * i), "plant" if i % 3 else "landscape", 5.0, 45.0, i // 2)
        for i in range(first, first + count)
    ]


def write(folder: UPath) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_index(folder, [write_shard(folder, 0, samples(0, 5)), write_shard(folder, 1, samples(5, 4))])


@pytest.mark.parametrize("place", ["local", "memory"])
def test_images_come_back_in_the_order_asked_for(tmp_path, place):
    folder = UPath(tmp_path) / "shards" if place == "local" else UPath("memory://shards")
    write(folder)
    shards = Shards(folder)
    rows = np.array([7, 0, 3, 8, 3])
    assert shards.read(rows) == [samples(0, 9)[i].image for i in rows]
    assert shards.index["scale"].tolist()[:4] == ["landscape", "plant", "plant", "landscape"]
    assert shards.of_scale("landscape").tolist() == [0, 3, 6]


def test_the_index_points_at_the_bytes_that_any_tar_reader_finds(tmp_path):
    folder = UPath(tmp_path)
    names = ["short", "k" * 90, "folder/" * 20 + "deep", "é" * 20]
    written = [replace(sample, key=name) for sample, name in zip(samples(0, 4), names, strict=True)]
    write_index(folder, [write_shard(folder, 3, written)])
    shards = Shards(folder)
    with tarfile.open(tmp_path / "shard-00003.tar") as tar:
        for name, row in zip(names, shards.index.itertuples(), strict=True):
            member = tar.getmember(f"{name}.jpg")
            assert (member.offset_data, member.size) == (row.offset, row.size)
            about = json.loads(tar.extractfile(f"{name}.json").read())
            assert about["place_id"] == row.place_id
            named = {"key", "ext", "scale", "lon", "lat", "place_id", "date", "survey_id", "survey_kind"}
            assert set(about) == named
    assert shards.read(np.arange(4)) == [sample.image for sample in written]


def test_reading_a_few_images_costs_nothing_in_the_size_of_the_index(tmp_path):
    write(UPath(tmp_path))
    file, times = tmp_path / "index.parquet", 40_000
    pd.concat([pd.read_parquet(file)] * times, ignore_index=True).to_parquet(file)
    shards = Shards(UPath(tmp_path))
    assert len(shards.index) == 9 * times
    shards.read(np.array([1]))
    tracemalloc.start()
    assert shards.read(np.array([9 * times - 1, 0])) == [samples(0, 9)[i].image for i in (8, 0)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < times  # bytes: a column of the index is 8 bytes x 9 x times


def test_no_rows_are_no_bytes(tmp_path):
    write(UPath(tmp_path) / "s")
    assert Shards(UPath(tmp_path) / "s").read(np.empty(0, np.int64)) == []


def test_a_shard_that_was_cut_short_never_has_its_name(tmp_path):
    def broken():
        yield samples(0, 1)[0]
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        write_shard(UPath(tmp_path), 0, broken())
    assert not list(tmp_path.iterdir())
    write_index(UPath(tmp_path), [write_shard(UPath(tmp_path), 0, samples(0, 2))])
    assert Shards(UPath(tmp_path)).read(np.array([1])) == [samples(0, 2)[1].image]


def test_place_numbers_keep_all_their_digits(tmp_path):
    far = replace(samples(0, 1)[0], place_id=2**62 + 1)
    write_index(UPath(tmp_path), [write_shard(UPath(tmp_path), 0, [far])])
    assert Shards(UPath(tmp_path)).index["place_id"].tolist() == [2**62 + 1]


def test_equal_samples_are_equal_bytes(tmp_path):
    digests = []
    for name in ("a", "b"):
        write(UPath(tmp_path) / name)
        digests.append([hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted((tmp_path / name).iterdir())])
    assert digests[0] == digests[1]


def test_shards_are_plain_webdataset(tmp_path):
    write(UPath(tmp_path) / "s")
    with tarfile.open(tmp_path / "s" / "shard-00000.tar") as tar:
        assert tar.getnames()[:4] == ["p0.jpg", "p0.json", "p1.jpg", "p1.json"]


def test_faults_are_named(tmp_path):
    folder = UPath(tmp_path)
    with pytest.raises(InputError, match=r"has no index\.parquet"):
        _ = Shards(folder).index
    part = write_shard(folder, 0, samples(0, 2))
    with pytest.raises(InputError, match="two images have the key p0"):
        write_index(folder, [part, part])
    with pytest.raises(InputError, match="no image could be used"):
        write_index(folder, [])
    write_index(folder, [part])
    with pytest.raises(InputError, match="no images of scale satellite; found landscape, plant"):
        Shards(folder).of_scale("satellite")


def test_files_that_lie_close_are_fetched_by_one_request(tmp_path, monkeypatch):
    shard, size = np.array([0, 0, 0, 1, 0]), np.full(5, 1000)
    offset = np.array([0, 2000, 30 << 20, 0, 1000])
    assert [group.tolist() for group in together(shard, offset, size)] == [[0, 4, 1], [2], [3]]
    many = np.arange(40) * (1 << 20)
    assert [len(group) for group in together(np.zeros(40, int), many, np.full(40, 1 << 20))] == [16, 16, 8]
    assert together(shard[:0], offset[:0], size[:0]) == []
    folder = UPath("memory://together/shards")
    rng = np.random.default_rng(0)
    images = [rng.bytes(int(n)) for n in rng.integers(100, 900, 30)]
    samples = [Sample(f"k{i}", "npy", image, "plant", 1.0, 2.0, i) for i, image in enumerate(images)]
    write_index(folder, [write_shard(folder, number, samples[number * 15 : number * 15 + 15]) for number in range(2)])
    asked, genuine = [], folder.fs.cat_ranges

    def counted(paths, *args, **kwargs):
        asked.extend(paths)
        return genuine(paths, *args, **kwargs)

    monkeypatch.setattr(type(folder.fs), "cat_ranges", staticmethod(counted))
    rows = rng.integers(0, 30, 40)  # in any order, some twice
    assert Shards(folder).read(rows) == [images[row] for row in rows]
    assert len(asked) == 2
