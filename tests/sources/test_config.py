"""What a configuration of `prepare` may say."""

import subprocess
import sys
from pathlib import Path

import pytest

from sdm_ray.config import load
from sdm_ray.errors import InputError
from sdm_ray.sources.config import PrepareConfig


@pytest.fixture
def written(tmp_path):
    def write(text: str) -> PrepareConfig:
        file = tmp_path / "prepare.yaml"
        file.write_text(text)
        return load(file, PrepareConfig)

    return write


def test_what_is_listed_is_written(written):
    config = written("land: {source: virtual}\nshards: [{source: virtual, scale: plant}]")
    assert config.writes() == ["land.zarr", "shards"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 1", "names no artefact"),
        ("surveys: {source: gbfi}", "surveys"),
        ("surveys: {source: euforest}", "surveys.0.euforest.table: missing"),
        ("surveys: {source: euforest, table: a.csv, tabel: b.csv}", "tabel: unknown key"),
        ("shards: [{source: virtual, scale: planet}]", "scale"),
        ("virtual: {west: 10.5}\nland: {source: virtual}", "no multiple"),
        ("surveys: {source: euforest, table: a, download: {tabel: {url: b, sha256: " + "0" * 64 + "}}}", "tabel"),
        ("surveys: {source: euforest, table: a, download: {table: {url: b, sha256: 12}}}", "sha256"),
    ],
)
def test_mistakes_are_named(written, text, said):
    with pytest.raises(InputError, match=said):
        written(text)


def test_the_example_of_own_tables_is_a_configuration(monkeypatch):
    monkeypatch.setenv("SDM_RAY_DATA", "/data")
    config = load(Path(__file__).parents[2] / "configs/examples/prepare-tables.yaml", PrepareConfig)
    assert [each.source for each in config.surveys] == ["tables", "tables", "darwin_core_events"]
    assert [each.source for each in config.occurrences] == ["gbif", "gbif_cube"]
    assert config.surveys[0].cover_classes == {"r": 0.1, "+": 0.5, "1": 2.5, "2": 15, "3": 37.5, "4": 62.5, "5": 87.5}


def test_the_configuration_loads_nothing_heavy():
    heavy = ("ray", "torch", "zarr", "pandas", "scipy", "rasterio")
    code = f"import sys, sdm_ray.sources.config; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
