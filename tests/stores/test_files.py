import pytest
from upath import UPath

from sdm_ray.stores.files import remove_drafts, replacing


@pytest.mark.parametrize("place", ["local", "memory"])
@pytest.mark.parametrize("shared", [False, True])
def test_a_file_is_there_once_it_is_whole(tmp_path, place, shared):
    folder = UPath(tmp_path) if place == "local" else UPath(f"memory://files-{shared}")
    folder.mkdir(exist_ok=True)
    path = folder / "a.json"
    for text in ("first", "second"):
        with replacing(path, shared=shared) as draft:
            draft.write_text(text)
            assert (not path.exists()) if text == "first" else path.read_text() == "first"
        assert path.read_text() == text
    assert [each.name for each in folder.iterdir()] == ["a.json"]


def test_what_was_cut_short_leaves_the_file_as_it_was(tmp_path):
    path = UPath(tmp_path / "a.json")
    path.write_text("before")
    for error in (OSError, KeyboardInterrupt):
        with pytest.raises(error), replacing(path) as draft:
            draft.write_text("half of")
            raise error
    with pytest.raises(OSError, match="nothing"), replacing(path):
        raise OSError("nothing was written")
    assert path.read_text() == "before" and len(list(tmp_path.iterdir())) == 1


def test_two_that_write_one_file_do_not_meet(tmp_path):
    path = UPath(tmp_path / "a.json")
    with replacing(path, shared=True) as one, replacing(path, shared=True) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"


def test_drafts_of_killed_workers_are_removed_and_nothing_else(tmp_path):
    place = UPath(tmp_path) / "map.zarr"
    (place / "ledger").mkdir(parents=True)
    for name in ("ledger/E1N1.json", "ledger/E1N2.json.0123.tmp", "c.0a1b.partial", "0_6ee4.__lock", "c"):
        (place / name).write_text("x")
    remove_drafts(place)
    assert sorted(file.name for file in place.rglob("*") if file.is_file()) == ["E1N1.json", "c"]
