"""The demo's own configurations on a smaller landscape, from nothing to the report."""

from pathlib import Path

import pandas as pd
import pytest
import xarray as xr
import yaml

from sdm_ray import jobs

LANDSCAPE = {"cells": 24, "species": 4, "covariate_cells": 4}
SMALL = {
    "prepare": {
        "virtual": LANDSCAPE,
        "surveys": {"source": "virtual", "surveys": 220},
        "shards": [{"source": "virtual", "scale": scale, "photos": 60, "size": 32} for scale in ("plant", "landscape")],
    },
    "prepare-2025": {"virtual": LANDSCAPE | {"management": {"parcels": 12, "side_cells": 1, "least_forest": 0.3}}},
    "impact": {"estimate": {"resamples": 100}, "placebos": {"fake_treatments": 0, "elsewhere": 0}},
    # Ray Train, whose start takes longer than all the rest, is started in training/test_three_scales.py
    "pretrain": {"optim": {"epochs": 1, "batch": 64}, "workers": {"count": 0}},
    "finetune": {"optim": {"epochs": 2, "batch": 64}, "workers": {"count": 0}},
    "finetune-coordinates": {"optim": {"epochs": 2, "batch": 64}, "workers": {"count": 0}},
    "compare": {
        "seeds": [0],
        "folds": [0],
        "min_positives": 1,
        "resamples": 5,
        "few": {"background": 20, "optim": {"lr": 0.001, "epochs": 2, "batch": 64}},
    },
    "evaluate": {
        "baselines": [{"kind": "forest", "features": "both", "trees": 5}],
        "resamples": 5,
        "min_positives": 1,
    },
}
BLOCKS = {"size_m": 4000, "folds": 2}


@pytest.fixture(scope="module")
def configs(tmp_path_factory) -> Path:
    """The demo's files with the sizes above."""
    folder = tmp_path_factory.mktemp("configs") / "demo"
    folder.mkdir()
    for file in sorted((jobs.shipped_configs() / "demo").glob("*.yaml")):
        values = yaml.safe_load(file.read_text())
        for key, value in SMALL.get(file.stem, {}).items():
            values[key] = {**values[key], **value} if isinstance(value, dict) and key in values else value
        if "blocks" in values:
            values["blocks"] = BLOCKS
        (folder / file.name).write_text(yaml.safe_dump(values))
    return folder


def test_the_whole_chain_runs_and_a_second_time_keeps_everything(configs, tmp_path, monkeypatch, capsys, ray_cluster):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    out = tmp_path / "demo"
    jobs.run_folder(configs, str(out))
    first = capsys.readouterr().out
    assert "rank correlation" in first.splitlines()[-1]
    assert "AUC with 5 occurrences: " in first.splitlines()[-1] and "pretrained 0." in first.splitlines()[-1]
    artefacts = [
        "cube.zarr",
        "shards",
        "covariates.zarr",
        "encoder",
        "model",
        "map.zarr",
        "indicators.zarr",
        "truth.zarr",
    ]
    assert all((out / name / "artefact.json").exists() for name in artefacts)
    assert (out / "surveys.parquet").exists()
    assert "<img" in (out / "report.html").read_text()
    effects = pd.read_csv(out / "impact" / "effects.csv").set_index("outcome")
    assert effects.loc["Ficta sylvatica", "truth"] != 0 and effects["effect"].notna().all()
    level = xr.open_zarr(str(out / "map.zarr"), group="0")
    assert level.probability.dims == ("species", "y", "x")
    assert "3035" in level.spatial_ref.attrs["crs_wkt"]
    sea = xr.open_zarr(str(out / "land.zarr")).land.values == 0
    assert level.probability.isnull().values[:, sea].all()
    assert not level.probability.isnull().values[:, ~sea].any()
    written = {name: (out / name / "artefact.json").stat().st_mtime_ns for name in artefacts}
    jobs.run_folder(configs, str(out))
    again = capsys.readouterr().out
    assert again.count("kept") >= 20
    assert written == {name: (out / name / "artefact.json").stat().st_mtime_ns for name in artefacts}
