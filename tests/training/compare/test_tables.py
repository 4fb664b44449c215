"""The surveys of a comparison: no way learns from what is tested, whatever it changes."""

import numpy as np
import pytest
from helpers.small import BLOCKS, settings

from sdm_ray.training.compare.config import CompareConfig
from sdm_ray.training.compare.tables import pretraining, read_tables, surveys_to_test
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.data import read_table
from sdm_ray.training.finetune.fits import FineTuning


def without_blocks(**changes):
    """Settings of `finetune` that leave the blocks to the encoder."""
    return {key: value for key, value in settings(**changes).items() if key != "blocks"}


def config(world, **changes) -> CompareConfig:
    values = {"finetune": without_blocks(encoder="told"), "methods": {"pretrained": {}, "scratch": {"encoder": None}}}
    return CompareConfig(run_dir=str(world), **(values | {"shots": [None], "folds": [0, 1]} | changes))


def test_no_method_learns_from_the_surveys_that_are_tested(world, encoder):
    """Without its encoder a method would have blocks of its own."""
    chosen = config(world)
    base, tables = read_tables(chosen)
    for fold, tested in zip(chosen.folds, surveys_to_test(chosen, base, tables), strict=True):
        assert len(tested) > 50
        for table in tables.values():
            split = table.split(fold)
            assert not np.isin(np.concatenate([split.train, split.validation, split.calibrate]), tested).any()
        assert np.array_equal(tables["scratch"].held_out(fold), tested)


@pytest.mark.parametrize(
    "change",
    [
        {"surveys": "occurrences/surveys.parquet"},
        {"blocks.size_m": 50_000},
        {"blocks": {**BLOCKS, "seed": 3}},
        {"countries": "land.zarr"},
        {"run_dir": "elsewhere"},
    ],
)
def test_a_method_that_holds_out_other_surveys_is_refused(world, change):
    (key,) = (name.partition(".")[0] for name in change)
    with pytest.raises(ValueError, match=rf"methods\.other: changes {key}; expected that of `finetune` for all"):
        config(world, finetune=settings(), methods={"first": {}, "other": change})


def test_every_training_stops_by_the_validation_surveys_of_its_fold(world):
    """The world has so few of them that `finetune` would pool its folds, and choose the epochs of all by that."""
    values = {key: value for key, value in settings().items() if key != "pooled"}
    assert read_table(FinetuneConfig(run_dir=str(world), **values)).pooled
    chosen = config(world, finetune=values, methods={"by default": {}, "pooled": {"pooled": True}})
    base, tables = read_tables(chosen)
    for label, table in tables.items():
        split = table.split(0)
        assert not table.pooled and np.array_equal(split.train, base.split(0).train) and len(split.validation)
        fit = FineTuning(chosen.method(label), table, "").fit(0)
        assert fit.best_by == "auc" and fit.patience == 5


def test_what_had_seen_the_tested_places_is_said(world, encoder, capsys):
    """The encoder held its own blocks out; of other blocks, and of periods, it had seen what is tested."""
    chosen = config(world)
    assert pretraining(chosen, read_tables(chosen)[1]) == {"pretrained": "inductive", "scratch": "none"}
    assert "transductive" not in capsys.readouterr().out
    other = config(world, finetune=settings(encoder="told", blocks={**BLOCKS, "seed": 5}))
    assert pretraining(other, read_tables(other)[1])["pretrained"] == "transductive"
    assert "compare: transductive: pretrained (what" in capsys.readouterr().out
    later = config(world, years_until=2014)
    assert pretraining(later, read_tables(chosen)[1]) == {"pretrained": "transductive", "scratch": "none"}
