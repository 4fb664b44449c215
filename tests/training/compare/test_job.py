"""The job `compare` on the tiny world: every way on the same surveys, resumed where it stopped."""

import json

import numpy as np
import pytest
from helpers.small import TOWER, settings
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.stores.surveys import labels_of, read_surveys
from sdm_ray.training.compare import job as compare
from sdm_ray.training.compare.config import CompareConfig
from sdm_ray.training.finetune.data import read_table


def config(**changes):
    values = {
        "finetune": settings(encoder="told"),
        "methods": {
            "pretrained": {},
            "scratch": {"encoder": None},
            "frozen, linear": {"freeze": True, "model.depth": 0},
        },
        "baselines": {
            "forest": {"kind": "forest", "trees": 20, "min_samples_leaf": 3},
            "boosting": {"kind": "boosting", "max_rounds": 30, "min_child_samples": 10, "features": "covariates"},
            "logistic": {"kind": "logistic", "wavelengths_km": [60, 30]},
        },
        "shots": [5, None],
        "few": {"background": 60, "optim": {"epochs": 10, "batch": 64, "lr": 0.01}},
        "seeds": [0],
        "resamples": 20,
        "min_positives": 5,
        "compute": {"cpus": 0.5, "workers": 1},
    }
    return values | changes


def test_every_way_on_few_and_on_all(world, encoder, execute, ray_cluster):
    values = config()
    values["methods"] |= {"probe": {"probe": {}}}
    record = execute(CompareConfig, compare.run, run_dir=str(world), **values)
    folder = UPath(world) / "comparison"
    figures = json.loads((folder / "metrics.json").read_text())
    scores = figures["values"]["auc"]
    assert list(scores) == ["pretrained", "scratch", "frozen, linear", "probe", "forest", "boosting", "logistic"]
    for way in ("scratch", "probe", "forest", "boosting", "logistic"):
        assert scores[way]["all"]["value"] > 0.6, way  # one of three species is anywhere
    assert list(figures["differences"]["auc"]) == list(scores)[1:]
    assert record.figures["auc/scratch/all"] == scores["scratch"]["all"]["value"]
    assert not (folder / "parts").exists()
    assert "Scores by number of training occurrences" in (folder / "compare.html").read_text()


def test_rare_species_borrow_from_common_ones(world, encoder, execute, ray_cluster):
    """Scores are of the species that are not rich; a method of `transfer` learns from more surveys."""
    methods = {"alone": {"encoder": None}, "with common ones": {"encoder": None}}
    few = {"background": 60, "n_common_species": 2, "optim": {"epochs": 4, "batch": 64, "lr": 0.01}}
    values = config(output="rare", methods=methods, baselines={}, shots=[5], few=few, transfer=["with common ones"])
    execute(CompareConfig, compare.run, run_dir=str(world), **values)
    folder = UPath(world) / "rare"
    figures = json.loads((folder / "metrics.json").read_text())
    assert figures["species_counted"] == 1 and (figures["n_common_species"], figures["transfer"]) == (
        2,
        ["with common ones"],
    )
    assert figures["values"]["auc"]["alone"] != figures["values"]["auc"]["with common ones"]
    assert "all training surveys of the 2 most common species" in (folder / "compare.html").read_text()


def test_an_interrupted_comparison_keeps_what_is_finished(world, encoder, execute, ray_cluster, monkeypatch, capsys):
    monkeypatch.setattr(compare, "run_tasks", lambda work, shared, parts, how: ((each, None, "gone") for each in parts))
    values = config(output="half", baselines={}, shots=[5], seeds=[0])
    with pytest.raises(InputError, match=r"pretrained\.5\.0\.0 failed: gone; what is finished is kept"):
        execute(CompareConfig, compare.run, run_dir=str(world), **values)
    for way in ("pretrained", "scratch"):
        with (UPath(world) / "half" / "parts" / f"{way}.5.0.0.npy").open("wb") as file:
            np.save(file, np.full((2, 21), 0.75))
    monkeypatch.undo()
    execute(CompareConfig, compare.run, run_dir=str(world), **values)
    assert "2 of 3 trainings were finished before" in capsys.readouterr().out
    figures = json.loads((UPath(world) / "half" / "metrics.json").read_text())
    assert figures["values"]["auc"]["scratch"]["5"]["value"] == 0.75


def test_what_cannot_be_compared_is_named(world, encoder, execute):
    def problem(**changes):
        with pytest.raises((InputError, ValueError)) as caught:
            execute(CompareConfig, compare.run, run_dir=str(world), **config(output="none", **changes))
        return str(caught.value)

    surveys, species = read_surveys(UPath(world) / "surveys.parquet")
    most = labels_of(surveys, species).counts(np.arange(len(surveys)))[0].max()
    assert f"no species has {most + 1} training" in problem(shots=[int(most) + 1])
    assert "optim.rate" in problem(methods={"fast": {"optim.rate": 1}})
    assert "folds 0 to 1" in problem(folds=[2])
    assert "transfer: other is none of the methods" in problem(transfer=["other"])
    assert "transfer: needs few.n_common_species" in problem(transfer=["scratch"])
    assert "is a method as well" in problem(baselines={"scratch": {"kind": "forest"}})


def test_the_surveys_with_an_image_are_tested_alone(world, execute, ray_cluster):
    tower = {**TOWER, "bands": 3, "mean": [120], "std": [50], "nodata_zero": False}
    images = {"images": {"plant": {"shards": "shards", "size": 32, "within_m": 10}}, "model.plant": tower}
    values = config(finetune=settings(), methods={"photos": images, "without": {}}, baselines={}, shots=[None])
    values |= {"tested_with": "plant", "output": "with-photos"}
    execute(CompareConfig, compare.run, run_dir=str(world), **values)
    figures = json.loads((UPath(world) / "with-photos" / "metrics.json").read_text())
    table = read_table(CompareConfig(run_dir=str(world), **values).method("photos"))
    assert figures["surveys_tested"] == (table.held_out(0) < 200).sum()  # the first 200 surveys have a photo
    assert figures["values"]["auc"]["photos"]["all"]["value"] > figures["values"]["auc"]["without"]["all"]["value"]
    with pytest.raises(ValueError, match=r"tested_with: no method has `images\.satellite`"):
        CompareConfig(**config(tested_with="satellite"))
