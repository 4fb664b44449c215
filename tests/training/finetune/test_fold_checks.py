"""What may be wrong with the data, each met by a whole job and told in one line."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.small import GRID, settings
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Blocks, Role, fold, role
from sdm_ray.geo.grid import to_xy
from sdm_ray.stores import artefact
from sdm_ray.stores.covariates import write_covariates
from sdm_ray.stores.surveys import read_surveys, write_surveys
from sdm_ray.training.finetune import job as finetune
from sdm_ray.training.finetune.config import FinetuneConfig


@pytest.fixture
def train(world, tmp_path, execute):
    """Fine-tune for an epoch on the world, or on other surveys."""

    def run(surveys=None, **changes):
        values = {"surveys": str(world / "surveys.parquet"), "covariates": str(world / "covariates.zarr")}
        if surveys is not None:
            write(tmp_path / "surveys.parquet", surveys, world)
            values["surveys"] = "surveys.parquet"
        quick = {"optim": {"epochs": 1, "batch": 64}, "crossfit": False}
        values = settings() | values | quick | changes
        return execute(FinetuneConfig, finetune.run, run_dir=str(tmp_path), **values)

    return run


def write(path: Path, surveys: pd.DataFrame, world: Path) -> None:
    """As another tool may have written them: unchecked where they are wrong."""
    species = read_surveys(UPath(world / "surveys.parquet"))[1]
    try:
        write_surveys(UPath(path), surveys, species, "occurrence")
    except InputError:
        surveys.to_parquet(path)
        species.to_parquet(path.parent / "species.parquet")
    artefact.seal(UPath(path), artefact.Record(kind="test", fingerprint="o"))


@pytest.fixture
def surveys(world) -> pd.DataFrame:
    return read_surveys(UPath(world / "surveys.parquet"))[0]


def each_with(surveys: pd.DataFrame, species) -> pd.DataFrame:
    """The surveys with other sets of species: `species` of a survey's number and set."""
    return surveys.assign(species=[list(species(i, each)) for i, each in enumerate(surveys["species"])])


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda s: each_with(s, lambda i, e: [7] if i == 5 else e), "survey 5 holds species 7, species.parquet has 0"),
        (lambda s: each_with(s, lambda i, e: []), "no survey holds any species"),
        (lambda s: each_with(s, lambda i, e: [0, 1, 2]), "the one fold: its 2.. train surveys hold a single class"),
        (lambda s: s.assign(survey_id=s["survey_id"] // 2), "survey 0 occurs more than once"),
    ],
)
def test_surveys_that_cannot_teach(train, surveys, change, line):
    with pytest.raises(InputError, match=line) as found:
        train(change(surveys))
    assert "\n" not in str(found.value)


def test_a_species_without_positives_is_told_and_the_others_are_learnt(train, surveys, capsys):
    record = train(each_with(surveys, lambda i, each: [s for s in each if s != 2]))
    assert "3 species, 1 of them in no survey" in capsys.readouterr().out
    assert record.figures["validation_auc"] > 0.3


def test_a_species_of_the_test_fold_alone_is_told(train, surveys, capsys):
    blocks = Blocks(**settings()["blocks"])
    held_out = fold(*to_xy(surveys["lon"].to_numpy(), surveys["lat"].to_numpy()), blocks) == 0
    train(each_with(surveys, lambda i, each: [s for s in each if s != 2 or held_out[i]]), crossfit=True)
    said = capsys.readouterr().out
    assert "fold 0: 1 species of its test blocks are in no survey to learn from, such as Anywhere" in said
    assert "fold 1: 1 species" not in said


def test_a_select_fold_of_a_single_class_chooses_no_epoch(train, surveys, capsys):
    roles = role(*to_xy(surveys["lon"].to_numpy(), surveys["lat"].to_numpy()), Blocks(**settings()["blocks"]), 0)
    record = train(each_with(surveys, lambda i, each: [1] if roles[i] == Role.VALIDATION else each))
    assert "`validation` surveys hold a single class; it trains all its epochs" in capsys.readouterr().out
    assert record.figures["epochs"] == 1


def test_surveys_without_covariates_are_counted_and_trained_on(train, tmp_path, surveys, capsys):
    values = np.random.default_rng(0).normal(size=(2, 64, 64)).astype(np.float32)
    values[1, :, :20] = np.nan
    x, _ = to_xy(surveys["lon"].to_numpy(), surveys["lat"].to_numpy())
    unknown = int((x < GRID.x0 + 20_000).sum())
    seal_covariates(tmp_path, values)
    train(covariates="covariates.zarr")
    assert f"  noise unknown at {unknown} of 300 surveys\n" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "covariates.zarr")
    seal_covariates(tmp_path, np.where(np.isin(np.arange(64 * 64), surveyed(surveys)).reshape(64, 64), np.nan, values))
    with pytest.raises(InputError, match=r"covariates\.zarr: wet is unknown at 300 of 300 surveys, max_unknown"):
        train(covariates="covariates.zarr", output="again")


def surveyed(surveys: pd.DataFrame) -> np.ndarray:
    """Numbers of the cells that hold a survey."""
    row, col = GRID.cell(*to_xy(surveys["lon"].to_numpy(), surveys["lat"].to_numpy()))
    return row * 64 + col


def seal_covariates(folder: Path, values: np.ndarray) -> None:
    write_covariates(UPath(folder / "covariates.zarr"), GRID, ["wet", "noise"], values, 1000)
    artefact.seal(UPath(folder / "covariates.zarr"), artefact.Record(kind="test", fingerprint="c"))


def test_a_model_of_another_version_is_refused(train, tmp_path):
    train(output="old")
    config = tmp_path / "old" / "config.yaml"
    config.write_text(re.sub(r"format_version: \d+", "format_version: 99", config.read_text()))
    with pytest.raises(
        InputError, match=r"old/config\.yaml: weights of format version 99, this release reads .*; install"
    ):
        train(start="old")
