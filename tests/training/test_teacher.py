"""A forest that teaches: of surveys that its trees did not see, whatever these hold."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.ensemble import RandomForestRegressor
from small import settings

from sdm_ray.errors import InputError
from sdm_ray.evaluation.metrics import auc
from sdm_ray.geo.blocks import Role
from sdm_ray.stores.labels import SparseLabels
from sdm_ray.streams.surveys import SurveyFetch
from sdm_ray.training import finetune, loop, species, teacher
from sdm_ray.training.keepers import NoKeeper
from sdm_ray.training.ranks import Ranks
from sdm_ray.training.species_config import FinetuneConfig, TeacherConfig
from sdm_ray.training.voice import Voice

CONFIG = TeacherConfig(trees=50, min_samples_leaf=5)
N = 400


@pytest.fixture(scope="module")
def noisy():
    """Features, labels drawn from a smooth probability, and that probability."""
    rng = np.random.default_rng(0)
    x = rng.random((N, 4)).astype(np.float32)
    p = np.stack([0.1 + 0.8 * x[:, 0], 0.9 * (x[:, 1] > 0.5)], axis=1)
    return x, (rng.random(p.shape) < p).astype(np.float32), p


def test_a_label_says_nothing_to_its_own_survey(noisy):
    x, labels, _ = noisy
    turned = labels.copy()
    turned[7] = 1 - turned[7]
    found, other = (teacher.out_of_bag(x, each, CONFIG, 0, 1) for each in (labels, turned))
    assert np.array_equal(found[7], other[7]) and not np.array_equal(found, other)


def test_it_knows_more_of_the_probability_than_the_labels_do(noisy):
    x, labels, p = noisy
    found = teacher.out_of_bag(x, labels, TeacherConfig(trees=200, min_samples_leaf=5), 0, 1)
    assert ((found - p) ** 2).mean() < 0.2 * ((labels - p) ** 2).mean()
    forest = RandomForestRegressor(200, max_features=0.3, min_samples_leaf=5, oob_score=True, random_state=0)
    assert np.corrcoef(found.ravel(), forest.fit(x, labels).oob_prediction_.ravel())[0, 1] > 0.97


def test_threads_and_single_species_change_nothing(noisy):
    x, labels, _ = noisy
    assert np.array_equal(*(teacher.out_of_bag(x, labels, CONFIG, 3, threads) for threads in (1, 3)))
    assert teacher.out_of_bag(x, labels[:, :1], CONFIG, 3, 1).shape == (N, 1)


def test_labels_are_mixed_for_the_surveys_that_are_trained_on(noisy, monkeypatch):
    x, labels, _ = noisy
    known = np.arange(N) != 4
    lists = [np.flatnonzero(each) for each in labels]
    full = SparseLabels.from_lists(lists, 2)
    fetch = SurveyFetch(np.arange(N), x[:, :2].astype(float), x[:, 2:] * known[:, None], known, full)
    rows = np.arange(0, N, 2)
    made = teacher.taught(fetch, rows, TeacherConfig(trees=50, share=0.25), 1)
    soft = made.labels.dense(rows[3:9])
    assert np.all(np.abs(soft - labels[rows[3:9]]) <= 0.25) and not np.array_equal(soft, labels[rows[3:9]])
    assert np.array_equal(made.labels.counts(rows), full.counts(rows))
    batch = made.only(rows)(np.arange(3), np.zeros(3, np.int64))
    assert batch["labels"].dtype == np.float32 and batch["labels"].shape == (3, 2)
    monkeypatch.setattr(teacher, "_MOST_LABELS", 399)
    with pytest.raises(InputError, match=r"200 surveys of 2 species are 400 labels; .* at most 399"):
        teacher.taught(fetch, rows, TeacherConfig(), 1)


def study(world, **changes) -> finetune.Study:
    config = FinetuneConfig(run_dir=str(world), **settings(teacher={"trees": 50}, **changes))
    return finetune.Study(config, species.read_table(config), "")


def test_a_fold_is_taught_by_its_own_surveys_alone(world):
    made = study(world)
    held_out = np.setdiff1d(np.arange(300), made.table.split(0).train)
    labels = [np.setdiff1d([0, 1, 2], each) for each in labels_of(made, held_out)]
    lists = labels_of(made, np.arange(300))
    for row, other in zip(held_out, labels, strict=True):
        lists[row] = other
    turned = replace(made.table.fetch, labels=SparseLabels.from_lists(lists, 3))
    other = replace(made, table=replace(made.table, fetch=turned))
    first, second = (each.fit(0).streams["surveys"].take(0)["labels"] for each in (made, other))
    assert np.array_equal(first, second) and ((first > 0) & (first < 1)).any()


def labels_of(made, rows):
    return [np.flatnonzero(each) for each in made.table.labels.dense(rows)]


def test_a_model_learns_from_it(world):
    made = study(world)
    trained = loop.run(made.fit(0), Ranks(), NoKeeper(), Voice())
    test = np.flatnonzero(made.table.holdout.role(made.table.x, made.table.y, 0) == Role.TEST)
    logits = species.predict(trained.objective.model, made.table.fetch, test, Ranks())
    assert auc(made.table.labels.dense(test)[:, :2], logits[:, :2]).min() > 0.75


def test_it_is_of_species_and_their_absences(world):
    for changes in ({"presence": {"loss": "asymmetric"}}, {"model": {"output": "class"}}):
        with pytest.raises(ValidationError, match="teacher: is of species and the loss bce"):
            study(world, **changes)
