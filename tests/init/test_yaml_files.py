"""YAML of a study: odd names survive, and data elsewhere are named in full."""

from pathlib import Path

import pytest
import yaml

from sdm_ray.init.yaml_files import _flow, _relative


@pytest.mark.parametrize(
    "value", ["a: b", "#3", "1e3", "yes", "Épicéa", " x ", "a,b", "{x}", ["a: b", "c"], {"k": 1.5}]
)
def test_values_are_read_as_they_were(value):
    assert yaml.safe_load(f"key: {_flow(value)}")["key"] == value
    assert "\n" not in _flow(value)


def test_paths_are_relative_to_the_folder_of_the_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "mine"
    assert _relative("data/a.csv", folder) == "../data/a.csv"
    assert _relative(str(tmp_path / "mine" / "a.csv"), folder) == "a.csv"
    assert _relative("s3://bucket/a.csv", folder) == "s3://bucket/a.csv"
    assert _relative("/elsewhere/a.csv", Path("/somewhere")) == "/elsewhere/a.csv"
