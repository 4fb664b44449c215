"""Own data: two commands on a table and rasters alone; and the documentation's six on a small country with polygons."""

import json
import re
import shlex
import subprocess

import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio
import shapely
import xarray as xr
from helpers.own_study import SPECIES, write_own_study
from rasterio.transform import from_origin
from typer.testing import CliRunner

from sdm_ray import jobs
from sdm_ray.cli import app, as_overrides
from sdm_ray.geo.grid import to_lonlat

ROOT = jobs.shipped_configs().parent
WEST, SOUTH, CELLS = 3_600_000, 2_400_000, 32
EAST, NORTH = WEST + CELLS * 1000, SOUTH + CELLS * 1000
SMALL = {
    "prepare": [f"land.bounds=[{WEST},{SOUTH},{EAST},{NORTH}]"],
    "finetune": [
        *("model.location={wavelengths_km: [60, 30], hidden: 16, depth: 1, dim: 8}", "model.hidden=16"),
        *("optim.epochs=2", "optim.batch=64", "optim.ema=null", "forest.trees=50", "workers.count=0"),
        *("blocks.size_m=8000", "blocks.folds=2", "blocks.validation=0.2", "blocks.calibrate=0.2"),
    ],
    "map": ["countries=[Examplia]", "spread=false"],
    "evaluate": ["blocks={size_m: 8000, folds: 2, validation: 0.2, calibrate: 0.2}", "resamples=5", "min_positives=2"],
    "export": ["layers=[richness]"],
}


def own_data(folder):
    """What `configs/examples/prepare.yaml` names: plots.csv, climate.tif and outlines, all made up."""
    rng = np.random.default_rng(0)
    warm = np.add.outer(np.linspace(0, 9, CELLS), np.sin(np.arange(CELLS) / 5)).astype(np.float32)
    profile = {"driver": "GTiff", "count": 1, "dtype": "float32", "crs": "EPSG:3035", "width": CELLS, "height": CELLS}
    with rasterio.open(folder / "climate.tif", "w", transform=from_origin(WEST, NORTH, 1000, 1000), **profile) as file:
        file.write(warm, 1)
        file.set_band_description(1, "warmth")
    row, col = rng.integers(0, CELLS, (2, 300))
    lon, lat = to_lonlat(WEST + 1000 * col + 500.0, NORTH - 1000 * row - 500.0)
    places = pd.DataFrame({"plot_id": np.arange(300), "longitude": lon, "latitude": lat, "year": 2020})
    warmth = warm[row, col]
    seen = {"Calida alta": warmth > 6, "Frigida alta": warmth < 3, "Ubiqua alta": rng.random(300) < 0.5}
    tables = [places[present].assign(taxon=name) for name, present in seen.items()]
    pd.concat(tables).to_csv(folder / "plots.csv", index=False)
    (folder / "naturalearth").mkdir()
    square = shapely.box(lon.min() - 1, lat.min() - 1, lon.max() + 1, lat.max() + 1)
    for name in ("ne_50m_land", "ne_110m_admin_0_countries"):
        pyogrio.raw.write(
            folder / "naturalearth" / f"{name}.shp",
            shapely.to_wkb([square]),
            [np.array(["Examplia"], object)],
            ["ADMIN"],
            geometry_type="Polygon",
            crs="EPSG:4326",
        )


def six_commands() -> list[str]:
    section = (ROOT / "docs" / "own-data.md").read_text().partition("## Own data in six commands")[2]
    lines = re.search(r"```sh\n(.*?)```", section, re.S)[1].splitlines()
    assert len(lines) == 7, "one line that copies, then six commands"
    return lines


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    own_data(tmp_path / "data")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "examples").symlink_to(ROOT / "configs" / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDM_RAY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SDM_RAY_RUNS", str(tmp_path / "runs"))
    return tmp_path


def test_the_six_commands_of_the_readme_make_scores_a_map_and_files_for_gis(folder, ray_cluster):
    copy, *commands = six_commands()
    subprocess.run(["bash", "-c", copy], check=True)
    for command in commands:
        program, job, config, *words = shlex.split(command.removeprefix("uv run "))
        assert program == "sdm-ray"
        jobs.run_job(job, folder / config, as_overrides(words) + SMALL[job])
    run = folder / "runs" / "mine"
    maps = xr.open_zarr(str(run / "map.zarr"), group="0")
    assert sorted(maps.species.values) == ["Calida alta", "Frigida alta", "Ubiqua alta"]
    warm = maps.probability.sel(species="Calida alta").values
    assert warm[-8:].mean() > warm[:8].mean()
    assert (run / "evaluation" / "species.csv").exists()
    assert (run / "export" / "calida-alta.tif").exists()


def test_two_commands_make_a_map_scores_and_a_page_of_a_table_and_two_rasters(tmp_path, monkeypatch, ray_cluster):
    """Semicolons, decimal commas, a BOM, accents, EPSG:4326, and no other file; the network is made small."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDM_RAY_RUNS", str(tmp_path / "runs"))
    write_own_study(tmp_path)
    page = (ROOT / "docs" / "own-data.md").read_text()
    first, second = re.search(r"```sh\n(.*?)```", page, re.S)[1].splitlines()
    made = CliRunner().invoke(app, shlex.split(first.removeprefix("uv run sdm-ray ")))
    assert made.exit_code == 0, made.output
    shown = re.search(r"```text\n(table .*?)```", page, re.S)[1]
    assert made.output.split() == shown.split(), "docs/own-data.md shows something else"
    finetune = tmp_path / "mine" / "finetune.yaml"
    small = ("model:", "model:\n  hidden: 16\n  depth: 1"), ("wavelengths_km:", "hidden: 16, depth: 1, wavelengths_km:")
    text = re.sub(r"epochs: \d+", "epochs: 2", finetune.read_text())
    for written, smaller in small:
        text = text.replace(written, smaller)
    finetune.write_text(text)
    ran = CliRunner().invoke(app, shlex.split(second.removeprefix("uv run sdm-ray ")))
    assert ran.exit_code == 0, ran.output
    run = tmp_path / "runs" / "mine"
    found = xr.open_zarr(str(run / "map.zarr"), group="0")
    assert sorted(found.species.values) == sorted(SPECIES)
    height = xr.open_zarr(str(run / "covariates.zarr")).covariates.sel(covariate="altitude").values
    larch = found.probability.sel(species="Mélèze d'Europe").values
    known = np.isfinite(larch) & np.isfinite(height)
    assert larch[known & (height > 1900)].mean() > 3 * larch[known & (height < 1000)].mean()
    figures = json.loads((run / "evaluation" / "metrics.json").read_text())
    assert figures["blocks"]["values"]["auc"]["map"]["value"] > 0.8
    assert figures["held_out"]["block_km"] == 10
    assert "study area" in (run / "indicators.zarr" / "countries.csv").read_text()
    report = (run / "report.html").read_text()
    assert all(each in report for each in ("Map: map.zarr", "AUC on held-out blocks", "Indicators: indicators.zarr"))
