"""The job `compare` with periods held out, its trainings one after the other in this process."""

import json

import numpy as np
import pandas as pd
from helpers.small import settings

from sdm_ray.stores.surveys import read_surveys
from sdm_ray.training.compare import job as compare
from sdm_ray.training.compare import periods
from sdm_ray.training.compare.config import CompareConfig


def test_every_way_predicts_occupancy_whatever_it_weighs(world, encoder, execute, monkeypatch, capsys):
    def dated(path):
        surveys, species = read_surveys(path)
        number = np.arange(len(surveys))
        return surveys.assign(year=np.where(number % 10 == 0, np.nan, 2000.0 + number % 2)), species

    monkeypatch.setattr(periods, "read_surveys", dated)
    monkeypatch.setattr(compare, "connect", lambda: None)
    monkeypatch.setattr(compare.ray, "put", lambda each: each)
    monkeypatch.setattr(compare.ray, "get", lambda each: each)
    monkeypatch.setattr(
        compare, "run_tasks", lambda work, shared, parts, _: ((p, work(shared, p), None) for p in parts)
    )
    values = {
        "finetune": settings(optim={"lr": 0.01, "epochs": 3, "batch": 64}),
        "methods": {
            "plain": {},
            "balanced": {"presence.balance": "equal"},
            "probe": {"probe": {}, "encoder": "told"},
            "asymmetric": {"presence.loss": "asymmetric"},
        },
        "baselines": {"logistic": {"kind": "logistic", "wavelengths_km": [60, 30]}},
        "years_until": 2000,
        "shots": [None],
        "seeds": [0],
        "resamples": 2,
        "min_positives": 5,
    }
    execute(CompareConfig, compare.run, run_dir=str(world), output="hindcast", **values)
    figures = json.loads((world / "hindcast" / "metrics.json").read_text())
    assert figures["pretraining"] == {way: "transductive" if way == "probe" else "none" for way in values["methods"]}
    assert figures["surveys_tested"] == 150
    out = capsys.readouterr().out
    assert "30 of 300 surveys have no year" in out and "asymmetric, forecast: AUC" in out
    assert [row["way"] for row in figures["periods"] if row["error"] is None] == ["asymmetric"]
    species = pd.read_csv(world / "hindcast" / "periods_species.csv").set_index("way")
    for way in ("plain", "balanced", "probe", "logistic"):
        error = species.loc[way, "predicted_occupancy"] - species.loc[way, "trained_occupancy"]
        assert error.abs().max() < 0.15, way
