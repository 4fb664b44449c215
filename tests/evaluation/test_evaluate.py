"""The job on small real stores: a planted landscape, a good cross-fitted map, and everything that may be wrong."""

import json

import numpy as np
import pandas as pd
import pytest
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.evaluation.config import BoostingConfig, EvaluateConfig, ForestConfig
from sdm_ray.evaluation.evaluate import run
from sdm_ray.evaluation.report import write_report
from sdm_ray.geo.blocks import Blocks
from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.geo.windows import Window
from sdm_ray.job import Job
from sdm_ray.stores import artefact
from sdm_ray.stores.covariates import write_covariates
from sdm_ray.stores.land import write_land
from sdm_ray.stores.maps import Map, MapSpec, create_map
from sdm_ray.stores.surveys import read_surveys, write_surveys
from sdm_ray.tracking import Tracker

GRID = Grid(4_000_000, 3_064_000, 1000, 64, 64)
NAMES = ["Abies alba", "Fagus sylvatica", "Quercus robur"]
BLOCKS = Blocks(size_m=8_000, folds=3)
RIVALS = [ForestConfig(trees=10, min_samples_leaf=5), BoostingConfig(max_rounds=20, features="coordinates")]


def write_map(path, probability, **attrs):
    species = pd.DataFrame({"species_id": range(3), "name": NAMES})
    create_map(path, GRID, MapSpec(species, "occurrence", 64, {}, bits=16, attrs={"sdm_ray": attrs}))
    Map(path, writable=True).write(Window(0, 0, 64, 64), probability, {})


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = UPath(tmp_path_factory.mktemp("run"))
    numbers = np.random.default_rng(0)
    rows, cols = np.mgrid[0:64, 0:64]
    climate = np.stack([np.sin(rows / 9), np.cos(cols / 7)]).astype(np.float32)
    logit = np.stack([3 * climate[0], 3 * climate[1], 2 * climate[0] - 2 * climate[1]]) - 1
    truth = (1 / (1 + np.exp(-logit))).astype(np.float32)
    noisy = (1 / (1 + np.exp(-logit - numbers.normal(size=logit.shape)))).astype(np.float32)
    sea = cols < 4
    for name, values, attrs in (
        ("truth.zarr", truth, {}),
        ("refit.zarr", noisy, {"crossfitted": False}),
        ("crossfit.zarr", noisy, {"crossfitted": True}),
    ):
        write_map(folder / name, np.where(sea, np.nan, values), **attrs)
    write_covariates(folder / "covariates.zarr", GRID, ["a", "b"], np.where(sea, np.nan, climate), 1000)
    write_land(folder / "land.zarr", GRID, ~sea, np.where(cols < 30, 1, 2).astype(np.int16), ["AT", "BE"])
    cell = numbers.choice(np.flatnonzero(~sea), 900, replace=False)
    here = numbers.random((900, 3)) < truth.reshape(3, -1)[:, cell].T
    lon, lat = to_lonlat(*GRID.centre(cell // 64, cell % 64))
    surveys = pd.DataFrame({"survey_id": range(900), "lon": lon, "lat": lat, "year": 2020, "uncertainty_m": 10.0})
    surveys["species"] = [np.flatnonzero(row).astype(np.int32) for row in here]
    species = pd.DataFrame({"species_id": range(4), "name": [*NAMES, "Rara avis"], "gbif_key": range(4)})
    write_surveys(folder / "surveys.parquet", surveys, species, "occurrence")
    for path in folder.iterdir():
        if path.name != "species.parquet":
            kind = "map" if "fit" in path.name else path.stem
            artefact.seal(path, artefact.Record(kind=kind, fingerprint="f" * 32))
    return folder


def config_of(run_dir, **values):
    values = {
        "maps": {"map": "crossfit.zarr"},
        "covariates": "covariates.zarr",
        "blocks": BLOCKS,
        "rivals": RIVALS,
        "resamples": 30,
    } | values
    return EvaluateConfig(run_dir=str(run_dir), **values)


def evaluate(config, folder):
    """Run with a tracking server that is away, which costs log entries and never the job."""
    return run(config, Job(UPath(folder), "f" * 32, {}, False, Tracker("gopher://nobody", "none")))


def evaluate_figures(config, folder):
    """Run into a new folder and read what was written."""
    folder.mkdir()
    evaluate(config, folder)
    return json.loads((folder / "metrics.json").read_text())


def test_scores_beside_rivals_and_truth(run_dir):
    config = config_of(
        run_dir,
        land="land.zarr",
        countries_out=True,
        truth="truth.zarr",
        truth_maps={"map": "refit.zarr", "itself": "truth.zarr"},
    )
    assert set(config.reads()) == {
        "surveys.parquet", "crossfit.zarr", "refit.zarr", "truth.zarr", "covariates.zarr", "land.zarr",
    }  # fmt: skip
    folder = run_dir / "evaluation"
    folder.mkdir()
    flat = evaluate(config, folder)
    figures = json.loads((folder / "metrics.json").read_text())
    scores = figures["blocks"]["values"]["auc"]
    assert list(scores) == ["map", "random forest, both", "gradient boosting, coordinates"]
    assert 0.7 < scores["map"]["value"] < 0.95 and flat["blocks/auc/map"] == scores["map"]["value"]
    assert scores["random forest, both"]["value"] > scores["gradient boosting, coordinates"]["value"] > 0.5
    assert figures["species_not_mapped"] == 1 and figures["surveys_outside_the_map"] == 0
    assert list(figures["countries"]["values"]["auc"]) == ["random forest, both", "gradient boosting, coordinates"]
    assert figures["truth"]["itself"]["spearman"] == pytest.approx(1) and figures["truth"]["map"]["cells"] == 2940
    assert 0.6 < figures["truth"]["map"]["spearman"] < 0.95
    countries = pd.read_csv(str(folder / "countries.csv"))
    assert countries["country"].tolist() == ["AT", "BE"] and countries["surveys"].sum() == 900
    species = pd.read_csv(str(folder / "species.csv"))
    assert len(species) == 3 and (species["boyce: map"] > 0.5).all() and (species["tss: map"] > 0.2).all()
    cuts = pd.read_csv(str(folder / "thresholds.csv"))
    assert (cuts["surveys above minimum_presence"] > cuts["surveys above tenth_percentile"]).all()
    assert figures["species_means"]["tss"]["map"] == pytest.approx(species["tss: map"].mean())
    assert 0.05 < figures["species_means"]["brier"]["map"] < 0.25
    best = figures["surveys"]["f1, max_expected_f1"]["map"]
    assert best["low"] < best["value"] < best["high"]
    assert best["value"] > figures["surveys"]["f1, max_expected_f1"]["gradient boosting, coordinates"]["value"]
    assert sum(each["species"] for each in figures["prevalence"]) == 3
    assert "calibration_error" in (folder / "evaluation.html").read_text()
    assert "Whole countries left out" in (folder / "evaluation.html").read_text()
    assert all((folder / f"{name}.png").exists() for name in ("differences", "species", "reliability", "errors"))
    artefact.seal(folder, artefact.Record(kind="evaluation", fingerprint="f" * 32))
    report = write_report(run_dir)
    assert "AUC on held-out blocks: map 0." in report.summary
    assert "Whole countries left out" in report.path.read_text()


def test_presence_only_gets_ranks_and_boyce_alone(run_dir, tmp_path):
    relative = UPath(tmp_path)
    for name in ("crossfit.zarr", "covariates.zarr", "land.zarr"):
        (relative / name).symlink_to(run_dir / name)
    surveys, species = read_surveys(run_dir / "surveys.parquet")
    write_surveys(relative / "surveys.parquet", surveys, species, "relative")
    figures = evaluate_figures(config_of(relative), relative / "evaluation")
    assert figures["probability_kind"] == "relative" and list(figures["species_means"]) == ["boyce"]
    assert "surveys" not in figures and figures["species_means"]["boyce"]["map"] > 0.5
    assert "brier: map" not in pd.read_csv(str(relative / "evaluation" / "species.csv"))
    cuts = pd.read_csv(str(relative / "evaluation" / "thresholds.csv"))
    assert "tenth_percentile" in cuts and "max_tss" not in cuts


def test_a_map_that_saw_its_surveys_is_refused(run_dir, tmp_path):
    with pytest.raises(InputError, match=r"refit\.zarr: is not cross-fitted"):
        evaluate(config_of(run_dir, maps={"map": "refit.zarr"}), tmp_path)


def test_other_blocks_are_refused(run_dir, tmp_path):
    write_map(run_dir / "other.zarr", np.full((3, 64, 64), 0.5), crossfitted=True, blocks={"size_m": 9_000.0})
    with pytest.raises(InputError, match=r"other\.zarr: was cross-fitted with blocks.size_m = 9000.0, expected 8000"):
        evaluate(config_of(run_dir, maps={"map": "other.zarr"}), tmp_path)


def test_a_map_without_values_is_refused(run_dir, tmp_path):
    nothing = np.full((3, 64, 64), np.nan)
    nothing[:, :, :40] = 0.5
    write_map(run_dir / "part.zarr", nothing, crossfitted=True)
    with pytest.raises(InputError, match=r"part\.zarr: has no value at \d+ of 900 surveys"):
        evaluate(config_of(run_dir, maps={"map": "part.zarr"}, rivals=[]), tmp_path)


def test_folds_without_surveys_are_refused(run_dir, tmp_path):
    with pytest.raises(InputError, match="fold 0: no t"):
        evaluate(config_of(run_dir, blocks=Blocks(size_m=1e6, folds=3)), tmp_path)


def test_configuration_that_cannot_work(run_dir):
    with pytest.raises(ValueError, match="names no store"):
        config_of(run_dir, covariates=None)
    with pytest.raises(ValueError, match="truth_maps: needs"):
        config_of(run_dir, truth_maps={"a": "b"})
    with pytest.raises(ValueError, match="maps: is empty"):
        config_of(run_dir, maps={})
