"""Records, fingerprints and seals."""

import json

import pytest
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.stores import artefact


def record(mark: str) -> artefact.Record:
    return artefact.Record(kind="test", fingerprint=mark)


def beginning(mark: str) -> artefact.Beginning:
    return artefact.Beginning(fingerprint=mark)


def test_fingerprint_depends_on_content_not_on_the_order_of_keys():
    assert artefact.fingerprint({"a": 1, "b": 2}) == artefact.fingerprint({"b": 2, "a": 1})
    assert artefact.fingerprint({"a": 1}) != artefact.fingerprint({"a": 2})


def test_a_folder_is_whole_only_when_sealed(tmp_path):
    place = UPath(tmp_path) / "encoder"
    with pytest.raises(InputError, match="encoder: missing"):
        artefact.read_record(place)
    assert artefact.begin(place, beginning("one")) is False
    (place / "weights").write_text("w")
    with pytest.raises(InputError, match="encoder: unfinished"):
        artefact.read_record(place)
    artefact.seal(place, record("one"))
    assert artefact.read_record(place).fingerprint == "one"
    assert not (place / "unfinished.json").exists()


def test_an_interrupted_attempt_continues_only_for_the_same_fingerprint(tmp_path):
    place = UPath(tmp_path) / "map.zarr"
    artefact.begin(place, beginning("one"))
    (place / "tile").write_text("done")
    assert artefact.begin(place, beginning("one")) is True
    assert (place / "tile").exists()
    assert artefact.begin(place, beginning("two")) is False
    assert not (place / "tile").exists()


def test_rebuilding_takes_the_old_seal_off_first(tmp_path):
    place = UPath(tmp_path) / "model"
    artefact.begin(place, beginning("one"))
    artefact.seal(place, record("one"))
    artefact.begin(place, beginning("two"))
    assert artefact.find_record(place) is None


def test_a_parquet_file_has_its_record_beside_it(tmp_path):
    place = UPath(tmp_path) / "surveys.parquet"
    artefact.begin(place, beginning("one"))
    place.write_bytes(b"table")
    artefact.seal(place, record("one"))
    assert (tmp_path / "surveys.parquet.artefact.json").exists()
    assert artefact.read_record(place).fingerprint == "one"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("{", "is no artefact record"), (json.dumps({"kind": "a", "fingerprint": "b", "format_version": 99}), "99")],
)
def test_an_unreadable_or_newer_record_is_one_line(tmp_path, text, expected):
    place = UPath(tmp_path) / "model"
    place.mkdir()
    (place / "artefact.json").write_text(text)
    with pytest.raises(InputError, match=expected):
        artefact.find_record(place)


def test_file_identity_follows_the_content(tmp_path):
    file = UPath(tmp_path) / "a.csv"
    file.write_text("1")
    first = artefact.file_identity(file)
    file.write_text("2")
    assert artefact.file_identity(file) != first
    with pytest.raises(InputError, match=r"b\.csv: no such file"):
        artefact.file_identity(UPath(tmp_path) / "b.csv")


def test_changed_keys_are_dotted():
    old = {"a": 1, "b": {"c": 1, "d": 2}}
    assert artefact.changed_keys(old, {"a": 1, "b": {"c": 2, "d": 2}, "e": 0}) == ["b.c", "e"]


def test_works_on_any_filesystem():
    place = UPath("memory://artefacts/model")
    artefact.begin(place, beginning("one"))
    artefact.seal(place, record("one"))
    assert artefact.read_record(place).fingerprint == "one"


def test_what_was_sealed_is_compared_file_by_file():
    place = UPath("memory://sealed/run/thing")
    (place / "c").mkdir(parents=True)
    (place / "index").write_text("one")
    (place / "c" / "0").write_text("chunk")
    record = artefact.Record(kind="thing", fingerprint="f", files=artefact.contents(place))
    assert sorted(record.files) == ["c", "index"]
    artefact.seal(place, record)
    assert artefact.changed_files(place, record) == []
    (place / "index").write_text("two")
    assert artefact.changed_files(place, record) == ["index"]
    (place / "index").unlink()
    (place / "c" / "1").write_text("chunk")
    assert sorted(artefact.changed_files(place, record)) == ["c", "index"]


def test_a_parquet_file_is_sealed_with_its_companions(tmp_path):
    place = UPath(tmp_path / "surveys.parquet")
    place.write_text("rows")
    (place.parent / "species.parquet").write_text("names")
    record = artefact.Record(kind="surveys", fingerprint="f", files=artefact.contents(place, ["species.parquet", "no"]))
    assert sorted(record.files) == ["species.parquet", "surveys.parquet"]
    (place.parent / "species.parquet").write_text("other")
    assert artefact.changed_files(place, record) == ["species.parquet"]
