"""Ranges of files at a URL, by obstore and by fsspec."""

from collections.abc import Iterator
from typing import Any

import fsspec
import numpy as np
import pytest
from helpers.range_server import RangeServer, served

from sdm_ray.stores.ranges import _S3, _Plain, ranges_of

CONTENT = np.random.default_rng(0).bytes(5000)
STARTS, ENDS = [10, 4000, 0], [20, 5000, 1]
PARTS = [CONTENT[start:end] for start, end in zip(STARTS, ENDS, strict=True)]


@pytest.fixture
def server(tmp_path) -> Iterator[RangeServer]:
    (tmp_path / "bucket" / "folder").mkdir(parents=True)
    (tmp_path / "bucket" / "folder" / "file").write_bytes(CONTENT)
    with served(tmp_path) as running:
        yield running


def on_s3(**options: Any) -> Any:
    return fsspec.filesystem("s3", skip_instance_cache=True, **options)


def test_both_read_the_same(server):
    fast = ranges_of(on_s3())
    assert isinstance(fast, _S3)
    for each in (fast, _Plain(on_s3())):
        assert each.tail("bucket/folder/file", 100) == CONTENT[-100:]
        assert list(map(bytes, each.parts("bucket/folder/file", STARTS, ENDS))) == PARTS
        assert not each.parts("bucket/folder/file", [], [])
        with pytest.raises(FileNotFoundError):
            each.tail("bucket/folder/none", 100)
    assert fast._works


def test_each_part_is_one_request(server):
    fast = ranges_of(on_s3())
    fast.tail("bucket/folder/file", 1)
    before = server.requests
    fast.parts("bucket/folder/file", STARTS, ENDS)
    assert server.requests == before + len(STARTS)


@pytest.mark.parametrize(
    ("options", "key"),
    [({"key": "mine", "secret": "hidden"}, "mine"), ({}, "x"), ({"anon": True}, "")],
    ids=["given", "found by s3fs", "anonymous"],
)
def test_requests_are_signed_as_by_s3fs(server, options, key):
    for make in (ranges_of, _Plain):
        server.signed.clear()
        assert make(on_s3(**options)).tail("bucket/folder/file", 1) == CONTENT[-1:]
        assert server.signed == {key}


def test_where_obstore_is_refused_s3fs_reads_from_then_on(server):
    server.refused = "object_store"
    fast = ranges_of(on_s3())
    assert fast.tail("bucket/folder/file", 100) == CONTENT[-100:]
    assert not fast._works
    before = server.requests
    assert list(map(bytes, fast.parts("bucket/folder/file", STARTS, ENDS))) == PARTS
    assert server.requests == before + len(STARTS)


def test_parts_of_a_missing_file_are_an_error_of_the_store(server):
    with pytest.raises(OSError, match="none"):
        ranges_of(on_s3()).parts("bucket/folder/none", STARTS, ENDS)


def test_other_stores_are_read_by_fsspec():
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/ranges/file", CONTENT)
    found = ranges_of(memory)
    assert isinstance(found, _Plain) and found.tail("/ranges/file", 7) == CONTENT[-7:]
    assert found.parts("/ranges/file", STARTS, ENDS) == PARTS
