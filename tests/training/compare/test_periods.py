"""Periods held out: which surveys learn and which are tested, and how changes of occupancy are scored."""

import numpy as np
import pandas as pd
import pytest
from helpers.small import settings
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Role
from sdm_ray.stores.surveys import read_surveys
from sdm_ray.training.compare import periods
from sdm_ray.training.compare.config import CompareConfig
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.data import read_table


@pytest.fixture(scope="module")
def table(world):
    return read_table(FinetuneConfig(run_dir=str(world), **settings()))


def test_each_fold_learns_from_one_period_and_is_tested_on_the_other(world, table, monkeypatch):
    path = UPath(world) / "surveys.parquet"
    surveys, species = read_surveys(path)
    years = 2000 + np.arange(len(surveys)) % 20
    monkeypatch.setattr(periods, "read_surveys", lambda _: (surveys.assign(year=years), species))
    found = periods.by_period(table, path, 2014)
    for fold, tested in ((0, years > 2014), (1, years <= 2014)):
        roles = found.role(fold)
        assert np.array_equal(roles == Role.TEST, tested)
        others = set(roles[~tested].tolist())
        assert {Role.TRAIN, Role.VALIDATION} <= others <= {Role.TRAIN, Role.VALIDATION, Role.CALIBRATE}
        split = found.split(fold)
        assert not tested[np.concatenate([split.train, split.validation, split.calibrate])].any()
    assert (found.role(None) == Role.TRAIN).all()
    with pytest.raises(InputError, match=r"years_until: 2030, but surveys of .* are of 2000 to 2019; expected a year"):
        periods.by_period(table, path, 2030)


def test_surveys_without_a_year_are_in_neither_period(world, table, monkeypatch, capsys):
    path = UPath(world) / "surveys.parquet"
    surveys, species = read_surveys(path)
    years = (2000.0 + np.arange(len(surveys)) % 20).astype(object)
    unknown = np.arange(len(surveys)) % 5 == 2
    years[unknown] = None
    dated = surveys.assign(year=pd.Series(years, dtype="Float64"))
    monkeypatch.setattr(periods, "read_surveys", lambda _: (dated, species))
    found = periods.by_period(table, path, 2014)
    count = int(unknown.sum())
    assert f"{count} of {len(surveys)} surveys have no year, and are left out of both" in capsys.readouterr().out
    for fold in (0, 1, None):
        split = found.split(fold)
        used = np.concatenate([split.train, split.validation, split.calibrate, found.held_out(fold or 0)])
        assert not unknown[used].any() and len(np.unique(used)) == len(surveys) - count
    species = periods.table_of(found, {("way", 1): [np.zeros((3, 3))]}, {1: np.ones(3, bool)})
    assert (species["trained_surveys"] + species["tested_surveys"] == len(surveys) - count).all()
    monkeypatch.setattr(periods, "read_surveys", lambda _: (surveys.assign(year=np.nan), species))
    with pytest.raises(InputError, match=r"years_until: 2014, but surveys of .* have no year; expected a year"):
        periods.by_period(table, path, 2014)


def test_changes_of_occupancy_are_those_of_the_surveys_to_test(world, table):
    """A model that predicts what is observed, and one that predicts the occupancy that it was trained on."""
    late = np.arange(len(table.x)) % 3 == 0
    own = {name: getattr(table, name) for name in type(table).__dataclass_fields__}
    split = periods.PeriodTable(**own, early=~late, late=late)
    dense = table.labels.dense(np.arange(len(table.x)))
    count = dense.shape[1]
    perfect = np.stack([dense[late].mean(axis=0), np.ones(count), np.ones(count)])
    same = np.stack([dense[~late].mean(axis=0), np.full(count, 0.5), np.full(count, 0.5)])
    found = {("perfect", 0): [perfect, perfect], ("same", 0): [same]}
    species = periods.table_of(split, found, {0: np.ones(count, bool)})
    assert len(species) == 2 * count and (species["direction"] == "forecast").all()
    first = species[species["way"] == "perfect"]
    expected = dense[late].mean(axis=0) - dense[~late].mean(axis=0)
    assert first["observed_change"].to_numpy() == pytest.approx(expected)
    assert first["predicted_change"].to_numpy() == pytest.approx(expected)
    assert first["tested_presences"].tolist() == dense[late].sum(axis=0).tolist()
    short = periods.summary(species).set_index("way")
    assert short.loc["perfect", "error"] == pytest.approx(0)
    assert short.loc["perfect", "rank_correlation"] == pytest.approx(1)
    assert short.loc["perfect", "same_sign"] == 1
    assert short.loc["same", "error"] == pytest.approx(short.loc["same", "error_of_no_change"])
    assert np.isnan(short.loc["same", "rank_correlation"])  # all its changes are one


def test_species_figures_are_means_and_ranks():
    labels, p = np.array([[0, 1], [1, 0], [1, 1]]), np.array([[0.1, 0.9], [0.4, 0.2], [0.8, 0.4]])
    occupancy, auc, ap = periods.species_figures(labels, 5 * p, p)
    assert occupancy == pytest.approx([1.3 / 3, 0.5]) and auc.tolist() == [1, 1] and ap.tolist() == [1, 1]
    assert np.isnan(periods.species_figures(labels, p, None)[0]).all()


def test_of_a_way_without_probabilities_no_changes_are_scored(table, tmp_path, capsys):
    own = {name: getattr(table, name) for name in type(table).__dataclass_fields__}
    late = np.arange(len(table.x)) % 3 == 0
    split = periods.PeriodTable(**own, early=~late, late=late)
    unknown = np.stack([np.full(3, np.nan), np.full(3, 0.8), np.full(3, 0.6)])
    np.save(tmp_path / "maxent.npy", unknown)
    counted = {0: np.ones(3, bool)}
    (row,) = periods.write(UPath(tmp_path), split, {("maxent", 0): [UPath(tmp_path) / "maxent.npy"]}, counted)
    assert row["auc"] == pytest.approx(0.8) and row["error_of_no_change"] > 0
    assert row["same_sign"] is row["error"] is row["rank_correlation"] is None  # no NaN, which JSON lacks
    assert "maxent, forecast: AUC 0.800; what it predicts is no probability" in capsys.readouterr().out


def test_tables_are_written(tmp_path, table):
    own = {name: getattr(table, name) for name in type(table).__dataclass_fields__}
    late = np.arange(len(table.x)) % 2 == 0
    split = periods.PeriodTable(**own, early=~late, late=late)
    count = len(table.species)
    figures = np.random.default_rng(0).random((3, count))
    counted = {1: np.arange(count) > 0}
    np.save(tmp_path / "way.npy", figures)
    rows = periods.write(UPath(tmp_path), split, {("way", 1): [UPath(tmp_path) / "way.npy"]}, counted)
    assert len(pd.read_csv(tmp_path / "periods_species.csv")) == count - 1
    assert pd.read_csv(tmp_path / "periods.csv")["direction"].tolist() == ["hindcast"] and len(rows) == 1


def test_what_does_not_fit_periods_is_refused():
    for values, message in (
        ({"shots": [5, None]}, "shots: of few occurrences no occupancy follows"),
        ({"folds": [2], "finetune": {"blocks": {"size_m": 20000, "folds": 5}}}, "folds: 2; of periods expected 0"),
        (
            {"methods": {"a": {}, "b": {"start": "recorded"}}},
            "years_until: the model recorded that b starts",
        ),
        ({"methods": {"a": {"presence": {"loss": "assume_negative", "background": "target_group"}}}}, "found in a"),
        ({"finetune": {"countries": "land.zarr"}}, "years_until: holds out periods, and finetune.countries"),
    ):
        with pytest.raises(ValueError, match=message):
            CompareConfig(**({"finetune": {}, "methods": {"a": {}}, "shots": [None], "years_until": 2010} | values))
