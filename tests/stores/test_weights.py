import pandas as pd
import pytest
import torch
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.stores.weights import is_whole, load_weights, read_header, save_weights


@pytest.fixture
def folder(tmp_path):
    place = UPath(tmp_path / "model")
    state = {"a": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)}
    species = pd.DataFrame({"species_id": [4, 7], "name": ["Abies alba", "Quercus ilex"], "gbif_key": [1, 2]})
    save_weights(place, state, {"kind": "species", "model": {"dim": 3}}, species, {"history": [{"loss": 0.5}]})
    return place


def test_what_is_saved_is_read_back(folder):
    found = load_weights(folder)
    assert torch.equal(found.state["a"], torch.arange(6.0).reshape(2, 3))
    assert found.config == {"kind": "species", "model": {"dim": 3}}
    assert list(found.species["name"]) == ["Abies alba", "Quercus ilex"]
    assert found.metrics["history"] == [{"loss": 0.5}]
    assert is_whole(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.yaml", "metrics.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=name):
        load_weights(folder)


def test_another_version_is_refused(folder):
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("format_version: 2", "format_version: 99"))
    with pytest.raises(InputError, match="format version 99"):
        load_weights(folder)


def test_a_file_that_holds_no_tensors_is_refused(folder):
    (folder / "model.safetensors").write_bytes(b"\x80\x04not tensors")
    with pytest.raises(InputError, match="no safetensors file"):
        load_weights(folder)


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        load_weights(UPath(tmp_path / "nowhere"))


def test_the_header_is_read_without_the_tensors(folder):
    place = folder / "model.safetensors"
    length = int.from_bytes(place.read_bytes()[:8], "little")
    place.write_bytes(place.read_bytes()[: 8 + length])  # none of the tensors' bytes is left
    found = read_header(folder)
    assert set(found.parameters) == {"a", "n"} and found.metrics["history"] == [{"loss": 0.5}]
    assert found.config == {"kind": "species", "model": {"dim": 3}}
    with pytest.raises(InputError, match="no safetensors file"):
        load_weights(folder)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("config.yaml", b"kind: [species", r"config\.yaml: is no YAML"),
        ("config.yaml", b"\xff\xfe\x00", r"config\.yaml: is no YAML"),
        ("config.yaml", b"- a list", r"config\.yaml: says no format_version"),
        ("metrics.json", b'{"auc": 0.', r"metrics\.json: is no JSON"),
        ("metrics.json", b"\xff", r"metrics\.json: is no JSON"),
        ("metrics.json", b"[1]", r"metrics\.json: holds list, expected figures by name"),
        ("model.safetensors", b"", r"model\.safetensors: is no safetensors file"),
        ("model.safetensors", b"\xff" * 99, r"model\.safetensors: is no safetensors file"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(folder, name, content, line):
    (folder / name).write_bytes(content)
    for read in (read_header, load_weights):
        with pytest.raises(InputError, match=line) as caught:
            read(folder)
        assert "\n" not in str(caught.value)
