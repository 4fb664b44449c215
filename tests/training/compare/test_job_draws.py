"""What a training draws: the same few occurrences for every way, and everything else by the seed of the training."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.small import TOWER, settings

from sdm_ray.training.compare.config import CompareConfig
from sdm_ray.training.compare.job import Shared, Training, _method, drawn_by, few_labels
from sdm_ray.training.compare.tables import read_tables
from sdm_ray.training.engine import trainer
from sdm_ray.training.engine.execution import Execution
from sdm_ray.training.finetune.data import Table


def shared(world, **changes) -> Shared:
    values = {"finetune": settings(presence={"thin_m": 16_000}), "methods": {"a": {}}, "shots": [5, None]} | changes
    config = CompareConfig(run_dir=str(world), **{"few": {"background": 30}, **values})
    base, tables = read_tables(config)
    return Shared(config, base, tables, [], np.zeros(0), "")


def of_seed(own: Shared, way: str, seed: int) -> Table:
    return drawn_by(own.tables[way], own.config.method(way).model_copy(update={"seed": seed}))


def test_thinned_surveys_and_draws_are_the_same_for_every_way(world):
    own = shared(world, methods={"a": {}, "b": {"presence.thin_m": None}})
    for seed in (0, 1):
        drawn = [few_labels(own, Training(way, 5, seed, 0))[1] for way in ("a", "b", "baseline")]
        assert all(np.array_equal(rows, drawn[0]) for rows in drawn)
        table = of_seed(own, "a", seed)
        assert table.dataset.seed == seed
        assert np.array_equal(table.split(0).train, own.base.split(0).train)  # as the baselines learn from
    assert not np.array_equal(drawn[0], few_labels(own, Training("a", 5, 0, 0))[1])


def test_each_seed_of_a_placebo_exchanges_other_images(world):
    tower = {**TOWER, "bands": 3, "mean": [120], "std": [50], "nodata_zero": False}
    images = {"plant": {"shards": "shards", "size": 32, "within_m": 10}}
    shuffled = {"plant": {**images["plant"], "shuffled": True}}
    methods = {way: {"images": each, "model.plant": tower} for way, each in (("own", images), ("placebo", shuffled))}
    own = shared(world, methods=methods)
    which = {(way, seed): of_seed(own, way, seed).dataset.shards[0].which for way in methods for seed in (0, 1, 2)}
    assert np.array_equal(which["own", 0], which["own", 2])
    for first, second in ((0, 1), (1, 2), (0, 2)):
        assert (which["placebo", first] == which["placebo", second]).mean() < 0.1
        assert (which["placebo", first] == which["own", 0]).mean() < 0.1
    assert all(sorted(each) == sorted(which["own", 0]) for each in which.values())


@pytest.mark.parametrize(("shots", "transfer"), [(None, []), (5, []), (5, ["a"])])
def test_trainings_are_carried_out_as_configured_and_read_by_threads(world, monkeypatch, tmp_path, shots, transfer):
    workers = {"count": 0, "tf32": True, "accumulate": 2, "readers": 3}
    few = {"background": 30, "n_common_species": 1}
    own = shared(world, finetune=settings(workers=workers), few=few, transfer=transfer)
    own = replace(own, parts=str(tmp_path))
    seen = []

    def run(fit, ranks, checkpointer, reporter, execution=None):
        seen.append((execution, fit.streams["surveys"].readers.count))
        raise InterruptedError

    monkeypatch.setattr(trainer, "run", run)
    with pytest.raises(InterruptedError):
        _method(own, Training("a", shots, 0, 0), np.arange(3))
    assert seen == [(Execution(tf32=True, accumulate=2), 0)]
