"""The job on small real stores: a planted landscape, a good cross-fitted map, and everything that may be wrong."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from helpers.landscape import BASELINES, BLOCKS, CROSSFITTED, config_of, evaluate, write_map
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.evaluation import held_out_data, methods
from sdm_ray.evaluation.folds import folds_of
from sdm_ray.evaluation.report import write_report
from sdm_ray.geo.blocks import Blocks
from sdm_ray.geo.grid import to_xy
from sdm_ray.geo.windows import Window
from sdm_ray.metrics.ranking import auc
from sdm_ray.stores import artefact
from sdm_ray.stores.holdout import HoldOut
from sdm_ray.stores.land import Land
from sdm_ray.stores.maps import Map
from sdm_ray.stores.surveys import read_surveys, write_surveys


def evaluate_figures(config, folder):
    """Run into a new folder and read what was written."""
    folder.mkdir()
    evaluate(config, folder)
    return json.loads((folder / "metrics.json").read_text())


def test_scores_of_maps_baselines_and_truth(run_dir):
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
    by_fold = figures["folds"]["values"]["auc"]["map"]
    assert abs(by_fold["value"] - scores["map"]["value"]) < 0.05 and by_fold["low"] < by_fold["value"] < by_fold["high"]
    assert flat["folds/auc/map"] == by_fold["value"]
    assert figures["species_not_mapped"] == 1 and figures["surveys_outside_the_map"] == 0
    assert list(figures["countries"]["values"]["auc"]) == ["random forest, both", "gradient boosting, coordinates"]
    assert figures["truth"]["itself"]["spearman"] == pytest.approx(1) and figures["truth"]["map"]["cells"] == 2940
    assert 0.6 < figures["truth"]["map"]["spearman"] < 0.95
    countries = pd.read_csv(str(folder / "countries.csv"))
    assert countries["country"].tolist() == ["AT", "BE"] and countries["surveys"].sum() == 900
    scores_of_map = [name for name in countries if name.endswith(": map")]
    assert {"auc: map", "average_precision: map", "tss: map", "brier: map"} < set(scores_of_map)
    assert countries[scores_of_map].notna().all(axis=None) and "f1, max_expected_f1: map" in scores_of_map
    blocks = pd.read_csv(str(folder / "blocks.csv"))
    assert blocks["surveys"].sum() == 900 and blocks["f1, max_expected_f1"].between(0, 1).all()
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
    assert sum(each["species"] for each in figures["calibration_by_prevalence"]) == 3
    for method in scores:  # baselines are calibrated as maps are
        assert 0.8 < figures["calibration_by_prevalence"][-1]["ratio"][method] < 1.25, method
    assert figures["held_out"]["block_km"] == 8 and 0.5 < figures["held_out"]["nearest_training_km"] < 8
    assert "expected calibration error" in (folder / "evaluation.html").read_text()
    assert "Whole countries left out" in (folder / "evaluation.html").read_text()
    assert all(
        (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        for name in ("differences", "species", "reliability", "errors", "f1")
    )
    artefact.seal(folder, artefact.Record(kind="evaluation", fingerprint="f" * 32))
    report = write_report(run_dir)
    assert "AUC on held-out blocks: map 0." in report.summary
    assert "Whole countries left out" in report.path.read_text()


def test_ranks_of_baselines_are_scored_as_they_are(run_dir, tmp_path):
    """Calibrated fold by fold they would lose ranks across folds, and the map would seem better than it is."""
    config = config_of(run_dir, land="land.zarr", baselines=BASELINES[:1], resamples=5)
    evaluate(config, UPath(tmp_path))
    shown = json.loads((tmp_path / "metrics.json").read_text())["blocks"]["values"]["auc"]["random forest, both"]
    species = held_out_data.map_species(run_dir / "crossfit.zarr")
    surveys, _ = held_out_data.read_held_out(run_dir / "surveys.parquet", species, BLOCKS, run_dir / "land.zarr")
    folds = folds_of(surveys.x, surveys.y, HoldOut(BLOCKS))
    found = methods.baseline_predictions(config, surveys, folds)[0]["random forest, both"]
    assert shown["value"] == pytest.approx(auc(surveys.labels, found).mean(), abs=1e-6)


def test_presence_only_gets_rank_scores_alone(run_dir, tmp_path):
    relative = UPath(tmp_path)
    for name in ("crossfit.zarr", "covariates.zarr", "land.zarr"):
        (relative / name).symlink_to(run_dir / name)
    surveys, species = read_surveys(run_dir / "surveys.parquet")
    write_surveys(relative / "surveys.parquet", surveys, species, "relative")
    figures = evaluate_figures(config_of(relative), relative / "evaluation")
    assert figures["probability_kind"] == "relative" and list(figures["species_means"]) == ["boyce"]
    assert "surveys" not in figures and figures["species_means"]["boyce"]["map"] > 0.5
    assert list(figures["blocks"]["values"]) == ["auc", "average_precision"]
    assert "brier: map" not in pd.read_csv(str(relative / "evaluation" / "species.csv"))
    cuts = pd.read_csv(str(relative / "evaluation" / "thresholds.csv"))
    assert "tenth_percentile" in cuts and "max_tss" not in cuts


def with_surveys(run_dir, folder, change, species_change=lambda table: table) -> UPath:
    """The run folder with other surveys."""
    for name in ("crossfit.zarr", "covariates.zarr", "land.zarr"):
        (folder / name).symlink_to(run_dir / name)
    surveys, species = read_surveys(run_dir / "surveys.parquet")
    surveys["species"] = [change(each) for each in surveys["species"]]
    write_surveys(UPath(folder) / "surveys.parquet", surveys, species_change(species), "occurrence")
    return UPath(folder)


def test_surveys_that_do_not_know_a_species_of_the_map_are_refused(run_dir, tmp_path):
    other = with_surveys(run_dir, tmp_path, list, lambda table: table.replace("Quercus robur", "Quercus petraea"))
    with pytest.raises(InputError, match=r"surveys\.parquet: has no species 'Quercus robur' \(1 of 3 are missing\)$"):
        evaluate(config_of(other), tmp_path)


def test_surveys_of_a_single_class_are_refused(run_dir, tmp_path):
    other = with_surveys(run_dir, tmp_path, lambda each: [0, 1, 2])
    with pytest.raises(InputError, match=r"fold 0: its \d+ train surveys hold a single class \([^\n]*$"):
        evaluate(config_of(other), tmp_path)


def test_a_species_without_positives_has_blanks_and_counts_in_no_mean(run_dir, tmp_path):
    other = with_surveys(run_dir, tmp_path, lambda each: [s for s in each if s != 1])
    figures = evaluate_figures(config_of(other, baselines=[]), other / "evaluation")
    assert figures["blocks"]["species_left_out"] == 1 and figures["blocks"]["values"]["auc"]["map"]["value"] > 0.7
    row = pd.read_csv(str(other / "evaluation" / "species.csv")).set_index("species").loc["Fagus sylvatica"]
    assert row["surveys"] == 0 and np.isnan(row["auc: map"]) and np.isnan(row["tss: map"])
    assert pd.read_csv(str(other / "evaluation" / "thresholds.csv"))["max_tss"].isna().tolist() == [False, True, False]


def test_a_map_that_saw_its_surveys_is_refused(run_dir, tmp_path):
    with pytest.raises(InputError, match=r"refit\.zarr: is not cross-fitted"):
        evaluate(config_of(run_dir, maps={"map": "refit.zarr"}), tmp_path)


def test_other_blocks_are_refused(run_dir, tmp_path):
    blocks = {**CROSSFITTED["blocks"], "size_m": 9_000.0}
    write_map(run_dir / "other.zarr", np.full((3, 64, 64), 0.5), **{**CROSSFITTED, "blocks": blocks})
    with pytest.raises(InputError, match=r"other\.zarr: was cross-fitted with blocks.size_m = 9000.0, expected 8000"):
        evaluate(config_of(run_dir, maps={"map": "other.zarr"}), tmp_path)


def test_blocks_are_those_of_the_first_map_unless_they_are_stated(run_dir, tmp_path):
    figures = evaluate_figures(config_of(run_dir, blocks=None, baselines=[]), UPath(tmp_path) / "evaluation")
    stated = evaluate_figures(config_of(run_dir, baselines=[]), UPath(tmp_path) / "stated")
    assert figures == stated and figures["held_out"]["block_km"] == 8


def seal_map(path, land):
    artefact.seal(path, artefact.Record(kind="map", fingerprint="m" * 32, inputs={"land.zarr": land}))


def test_maps_that_held_out_something_else_are_refused(run_dir, tmp_path):
    abroad = {**CROSSFITTED, "held_out": "countries"}
    write_map(run_dir / "abroad.zarr", np.full((3, 64, 64), 0.5), **abroad)
    seal_map(run_dir / "abroad.zarr", "f" * 32)
    with pytest.raises(InputError, match=r"abroad\.zarr: its models held out countries, expected blocks$"):
        evaluate(config_of(run_dir, maps={"map": "abroad.zarr"}), tmp_path)
    countries = {"countries_out": True, "land": "land.zarr", "baselines": []}
    with pytest.raises(InputError, match=r"crossfit\.zarr: its models held out blocks, expected countries$"):
        evaluate(config_of(run_dir, countries_out_map="crossfit.zarr", **countries), tmp_path)
    seal_map(run_dir / "abroad.zarr", "e" * 32)
    with pytest.raises(InputError, match=r"abroad\.zarr: was made with another land store than .*land\.zarr"):
        evaluate(config_of(run_dir, countries_out_map="abroad.zarr", **countries), tmp_path)
    write_map(run_dir / "silent.zarr", np.full((3, 64, 64), 0.5), crossfitted=True)
    with pytest.raises(InputError, match=r"silent\.zarr: its models held out what the map does not record"):
        evaluate(config_of(run_dir, maps={"map": "silent.zarr"}), tmp_path)


def test_a_map_of_countries_left_out_is_scored(run_dir, tmp_path):
    truth = Map(run_dir / "truth.zarr").read(Window(0, 0, 64, 64))
    write_map(run_dir / "foreign.zarr", truth, **{**CROSSFITTED, "held_out": "countries"})
    seal_map(run_dir / "foreign.zarr", "f" * 32)
    config = config_of(run_dir, countries_out=True, land="land.zarr", baselines=[], countries_out_map="foreign.zarr")
    found = evaluate_figures(config, UPath(tmp_path) / "evaluation")["countries"]
    assert found["values"]["auc"]["map"]["value"] > 0.8
    assert found["surveys_left_out"] == found["surveys_in_cells_of_other_folds"] == 0
    abroad = UPath(tmp_path) / "abroad"
    abroad.mkdir()
    for name in ("crossfit.zarr", "foreign.zarr", "covariates.zarr", "land.zarr"):
        (abroad / name).symlink_to(run_dir / name)
    surveys, species = read_surveys(run_dir / "surveys.parquet")
    x, y = to_xy(surveys["lon"].to_numpy(), surveys["lat"].to_numpy())
    land = Land(run_dir / "land.zarr")
    country = np.array(land.countries)[land.countries_of(x, y, None)]
    country[np.flatnonzero(country == "BE")[:20]] = "AT"
    write_surveys(abroad / "surveys.parquet", surveys.assign(country=country), species, "occurrence")
    config = config.model_copy(update={"run_dir": str(abroad)})
    found = evaluate_figures(config, abroad / "evaluation")["countries"]
    assert found["surveys_left_out"] == found["surveys_in_cells_of_other_folds"] == 20
    assert found["surveys"] == 880
    page = (abroad / "evaluation" / "evaluation.html").read_text()
    assert "20 surveys are left out" in page and "20 of them lie in a cell of another fold" in page


def test_blocks_that_cut_cells_are_refused(run_dir, tmp_path):
    cutting = Blocks(size_m=8_500, folds=3)
    write_map(run_dir / "cut.zarr", np.full((3, 64, 64), 0.5), **{**CROSSFITTED, "blocks": asdict(cutting)})
    with pytest.raises(InputError, match=r"cut\.zarr: edges of blocks of 8500 m .* expected .*size_m: 8000"):
        evaluate(config_of(run_dir, maps={"map": "cut.zarr"}, blocks=cutting), tmp_path)


def test_a_map_of_relative_suitabilities_is_scored_by_rank_alone(run_dir, tmp_path):
    values = Map(run_dir / "crossfit.zarr").read(Window(0, 0, 64, 64))
    write_map(run_dir / "ranks.zarr", values, "relative", **CROSSFITTED)
    config = config_of(run_dir, maps={"map": "crossfit.zarr", "ranks": "ranks.zarr"}, baselines=[])
    figures = evaluate_figures(config, UPath(tmp_path) / "evaluation")
    assert figures["probability_kind"] == "relative" and "surveys" not in figures
    assert list(figures["species_means"]) == ["boyce"] and figures["calibration_by_prevalence"] == []
    assert not (UPath(tmp_path) / "evaluation" / "reliability.png").exists()


def test_a_map_without_values_is_refused(run_dir, tmp_path):
    nothing = np.full((3, 64, 64), np.nan)
    nothing[:, :, :40] = 0.5
    write_map(run_dir / "part.zarr", nothing, **CROSSFITTED)
    with pytest.raises(InputError, match=r"part\.zarr: has no held-out value at \d+ of 900 surveys"):
        evaluate(config_of(run_dir, maps={"map": "part.zarr"}, baselines=[]), tmp_path)


def test_folds_without_surveys_are_refused(run_dir, tmp_path):
    wide = Blocks(size_m=1e6, folds=3)
    values = Map(run_dir / "crossfit.zarr").read(Window(0, 0, 64, 64))
    write_map(run_dir / "wide.zarr", values, **{**CROSSFITTED, "blocks": asdict(wide)})
    with pytest.raises(InputError, match="fold 0: no t"):
        evaluate(config_of(run_dir, maps={"map": "wide.zarr"}, blocks=wide), tmp_path)


def test_configuration_that_cannot_work(run_dir):
    with pytest.raises(ValueError, match="names no store"):
        config_of(run_dir, covariates=None)
    with pytest.raises(ValueError, match="truth_maps: needs"):
        config_of(run_dir, truth_maps={"a": "b"})
    with pytest.raises(ValueError, match="maps: is empty"):
        config_of(run_dir, maps={})
