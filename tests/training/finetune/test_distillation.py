"""A forest beside the network: it teaches of surveys that its trees did not see, and it votes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.small import settings
from pydantic import ValidationError
from sklearn.ensemble import RandomForestRegressor
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Role
from sdm_ray.metrics.ranking import auc
from sdm_ray.model_io import load_species_model
from sdm_ray.models.distributed import Ranks
from sdm_ray.stores.labels import SparseLabels
from sdm_ray.streams.survey_dataset import SurveyDataset
from sdm_ray.training.engine import trainer
from sdm_ray.training.engine.checkpointing import NoCheckpointer
from sdm_ray.training.engine.reporting import Reporter
from sdm_ray.training.finetune import data as finetune_data
from sdm_ray.training.finetune import distillation
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.distillation import Joining
from sdm_ray.training.finetune.fits import FineTuning
from sdm_ray.training.finetune.head_config import EnsembleConfig
from sdm_ray.training.finetune.scores import scores_of

CONFIG = EnsembleConfig(trees=50, min_samples_leaf=5)
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
    found, other = (distillation.grown(x, each, CONFIG, 0, 1)[0] for each in (labels, turned))
    assert np.array_equal(found[7], other[7]) and not np.array_equal(found, other)


def test_it_knows_more_of_the_probability_than_the_labels_do(noisy):
    x, labels, p = noisy
    found, own = distillation.grown(x, labels, EnsembleConfig(trees=200, min_samples_leaf=5), 0, 1)
    assert ((found - p) ** 2).mean() < 0.2 * ((labels - p) ** 2).mean()
    theirs = RandomForestRegressor(200, max_features=0.3, min_samples_leaf=5, oob_score=True, random_state=0)
    assert np.corrcoef(found.ravel(), theirs.fit(x, labels).oob_prediction_.ravel())[0, 1] > 0.97
    assert np.abs(own(torch.from_numpy(x)).numpy() - theirs.predict(x)).mean() < 0.02


def test_a_forest_leans_towards_the_surveys_that_it_saw_and_its_sums_do_not(noisy):
    """What docs/steps/maps.md says of a published map's surveyed cells."""
    x, labels, p = noisy
    unseen, own = distillation.grown(x, labels, EnsembleConfig(trees=200), 0, 1)
    seen = own(torch.from_numpy(x)).numpy()
    present = labels > 0
    assert seen[present].mean() > unseen[present].mean() + 0.02
    assert seen[~present].mean() < unseen[~present].mean() - 0.02
    assert seen.sum() == pytest.approx(unseen.sum(), rel=0.01) == pytest.approx(labels.sum(), rel=0.01)
    assert ((seen - p) ** 2).mean() < ((unseen - p) ** 2).mean()  # of all trees, not of a third of them


def test_threads_and_single_species_change_nothing(noisy):
    x, labels, _ = noisy
    assert np.array_equal(*(distillation.grown(x, labels, CONFIG, 3, threads)[0] for threads in (1, 3)))
    soft, own = distillation.grown(x, labels[:, :1], CONFIG, 3, 1)
    assert soft.shape == own(torch.from_numpy(x)).shape == (N, 1)


def test_a_process_grows_a_forest_once_for_what_it_depends_on(noisy):
    x, labels, _ = noisy
    forests = distillation.Forests(2)
    first = forests.grown(x, labels, CONFIG, 0)
    assert forests.grown(x, labels, CONFIG.model_copy(update={"distillation_weight": 0.1}), 0) is first
    assert np.array_equal(first[0], distillation.grown(x, labels, CONFIG, 0, 1)[0])
    changed = [(x + 1, labels, CONFIG, 0), (x, 1 - labels, CONFIG, 0), (x, labels, CONFIG, 1)]
    changed.append((x, labels, CONFIG.model_copy(update={"min_samples_leaf": 9}), 0))
    assert all(forests.grown(*each) is not first for each in changed)
    assert forests.grown(*changed[-1]) is forests.grown(*changed[-1])
    assert forests.grown(x, labels, CONFIG, 0) is not first  # two are kept


def test_labels_are_mixed_for_the_surveys_that_are_trained_on(noisy, monkeypatch):
    x, labels, _ = noisy
    known = np.arange(N) != 4
    lists = [np.flatnonzero(each) for each in labels]
    full = SparseLabels.from_lists(lists, 2)
    dataset = SurveyDataset(
        np.arange(N), x[:, :2].astype(float), x[:, 2:] * known[:, None], known[:, None].repeat(x.shape[1] - 2, 1), full
    )
    rows = np.arange(0, N, 2)
    config = EnsembleConfig(trees=50, ensemble_weight=0)
    made, own = distillation.joined(dataset, rows, Joining(config, 0.25), distillation.grown)
    soft = made.labels.dense(rows[3:9])
    assert own is None
    assert np.all(np.abs(soft - labels[rows[3:9]]) <= 0.25) and not np.array_equal(soft, labels[rows[3:9]])
    assert np.array_equal(made.labels.counts(rows), full.counts(rows))
    batch = made.subset(rows).read(np.arange(3), np.zeros(3, np.int64))
    assert batch["labels"].dtype == np.float32 and batch["labels"].shape == (3, 2)
    for name, least, line in (
        ("MOST_SPECIES", 1, "forest.ensemble_weight: for at most 1 species, found 2; expected `ensemble_weight: 0`"),
        ("MOST_LABELS", 399, "forest: 200 surveys of 2 species are 400 labels; it takes at most 399"),
    ):
        monkeypatch.setattr(distillation, name, least)
        with pytest.raises(InputError, match=line):
            distillation.joined(dataset, rows, Joining(EnsembleConfig()), distillation.grown)


def study(world, output="", **changes) -> FineTuning:
    config = FinetuneConfig(run_dir=str(world), **settings(forest={"trees": 50}, **changes))
    return FineTuning(config, finetune_data.read_table(config), str(output))


def test_a_fold_is_taught_by_its_own_surveys_alone(world):
    made = study(world)
    held_out = np.setdiff1d(np.arange(300), made.table.split(0).train)
    labels = [np.setdiff1d([0, 1, 2], each) for each in labels_of(made, held_out)]
    lists = labels_of(made, np.arange(300))
    for row, other in zip(held_out, labels, strict=True):
        lists[row] = other
    turned = replace(made.table.dataset, labels=SparseLabels.from_lists(lists, 3))
    other = replace(made, table=replace(made.table, dataset=turned))
    first, second = (each.fit(0).streams["surveys"].take(0)["labels"] for each in (made, other))
    assert np.array_equal(first, second) and ((first > 0) & (first < 1)).any()


def labels_of(made, rows):
    return [np.flatnonzero(each) for each in made.table.labels.dense(rows)]


def test_a_model_learns_from_it(world):
    made = study(world)
    trained = trainer.run(made.fit(0), Ranks(), NoCheckpointer(), Reporter())
    test = np.flatnonzero(made.table.holdout.role(made.table.x, made.table.y, 0) == Role.TEST)
    logits = finetune_data.predict(trained.objective.model, made.table.dataset, test, Ranks())
    assert auc(made.table.labels.dense(test)[:, :2], logits[:, :2]).min() > 0.75


def test_a_model_keeps_the_forest_that_votes_in_it(world, tmp_path):
    made = study(world, tmp_path / "model")
    fit = made.fit(0)
    assert "forest.root" not in fit.objective().state_dict()  # nor in checkpoints: it is grown, not trained
    fit.save(trainer.run(fit, Ranks(), NoCheckpointer(), Reporter()))
    loaded = load_species_model(UPath(tmp_path / "model"), 0)
    split, dataset = made.table.split(0), made.table.dataset
    model = loaded.model
    logits = finetune_data.predict(model, dataset, split.validation, Ranks())
    labels = made.table.labels.dense(split.validation)
    assert loaded.metrics["bce"] == pytest.approx(scores_of(logits, labels)["bce"], rel=1e-5)
    x = distillation.features_of(dataset, split.validation, located=True)
    said = model.forest.logits(torch.from_numpy(x)).numpy()
    with torch.no_grad():
        z = torch.from_numpy(
            finetune_data.embed(model, dataset, split.validation, Ranks())[:, : model.config.embedding]
        )
        network = model.head(z).numpy()
    known = dataset.known[split.validation].all(axis=1)
    assert known.any() and np.allclose(logits[known], (network + said)[known] / 2, atol=1e-4)


def test_what_a_forest_cannot_join_is_named(world):
    with pytest.raises(ValidationError, match=r"forest: predicts species, found `model\.output: class`"):
        study(world, model={"output": "class"})
    nothing_known = {"model": {"location": None, "series": {}}, "covariates": None, "series": "series.zarr"}
    with pytest.raises(ValidationError, match="forest: goes by coordinates and covariates, and the model has neither"):
        study(world, **nothing_known)

    def config(forest, loss):
        return FinetuneConfig(run_dir=str(world), **settings(forest=forest, presence={"loss": loss}))

    with pytest.raises(ValidationError, match=r"both are 0; expected one above 0, or `forest: null`"):
        config({"distillation_weight": 0, "ensemble_weight": 0}, "bce")
    with pytest.raises(ValidationError, match="the loss asymmetric learns from labels of 0 and 1 alone; expected 0"):
        config({"distillation_weight": 0.5}, "asymmetric")
    assert config({}, "asymmetric").forest.distillation("asymmetric") == 0
    assert config({}, "bce").forest.distillation("bce") == 0.5


@pytest.mark.parametrize(
    "presence",
    [
        {"loss": "max_entropy", "background": "uniform", "places": 400},
        {"loss": "assume_negative", "background": "target_group"},
        {"loss": "asymmetric"},
    ],
)
def test_it_joins_every_loss(world, presence, tmp_path):
    made = study(world, tmp_path / "joined", presence=presence)
    fit = made.fit(0)
    assert (fit.streams["surveys"].take(0)["labels"].dtype == np.float32) == (presence["loss"] == "assume_negative")
    trained = trainer.run(fit, Ranks(), NoCheckpointer(), Reporter())
    fit.save(trained)
    model = load_species_model(UPath(tmp_path / "joined"), 0).model
    assert float(model.ensemble_weight) == 0.5
    test = made.table.held_out(0)
    logits = finetune_data.predict(model, made.table.dataset, test, Ranks())
    assert auc(made.table.labels.dense(test)[:, :2], logits[:, :2]).min() > 0.75


def test_trees_see_no_more_background_than_surveys(noisy):
    x, labels, _ = noisy
    everywhere = np.random.default_rng(1).random((10 * N, 4)).astype(np.float32)
    shares = [
        distillation.grown(np.concatenate([x, places]), labels, CONFIG, 0, 1)[0].mean() / labels.mean()
        for places in (everywhere[: N // 4], everywhere[: 2 * N], everywhere)
    ]
    assert 0.7 < shares[0] < 0.9  # one place to four surveys
    assert all(0.4 < share < 0.6 for share in shares[1:])  # one to one, however many there are
    predicted, forest = distillation.grown(np.concatenate([x, everywhere]), labels, CONFIG, 0, 1)
    assert predicted.shape == labels.shape and forest is not None


def test_presence_only_surveys_have_a_forest_by_default(world):
    config = FinetuneConfig(run_dir=str(world), **settings())
    table = finetune_data.read_table(config)
    relative = replace(table, probability_kind="relative")
    assert FineTuning(config, table, "").config.forest is None
    assert FineTuning(config, relative, "").config.forest == EnsembleConfig()
    for changes in ({"forest": None}, {"presence": {"loss": "max_entropy", "background": "target_group"}}):
        other = FinetuneConfig(run_dir=str(world), **settings(**changes))
        assert FineTuning(other, relative, "").config.forest is None


def test_covariates_alone_are_enough(world):
    values = settings(model={"location": None, "hidden": 16, "depth": 1, "embedding": 8})
    config = FinetuneConfig(run_dir=str(world), **values)
    made = FineTuning(config, replace(finetune_data.read_table(config), probability_kind="relative"), "")
    trained = trainer.run(made.fit(0), Ranks(), NoCheckpointer(), Reporter())
    logits = finetune_data.predict(trained.objective.model, made.table.dataset, made.table.held_out(0), Ranks())
    assert auc(made.table.labels.dense(made.table.held_out(0))[:, :2], logits[:, :2]).min() > 0.75
    with pytest.raises(ValidationError, match="model: has no input; expected `location`"):
        FinetuneConfig(run_dir="", **{**values, "covariates": None})


class One(Ranks):
    """A rank of two without a process group: what rank 0 sends is given."""

    def first(self, make):
        return self.group.pop(0) if self.rank else make()


def test_rank_0_grows_a_forest_and_the_others_are_sent_it(world, monkeypatch, capsys):
    made = study(world)
    grown = []
    monkeypatch.setattr(
        distillation, "grown", lambda *given, original=distillation.grown: grown.append(original(*given)) or grown[-1]
    )
    next(made(One(0, 2)))
    assert len(grown) == 1 and "  rank 0 grows a forest of 50 trees for all 2 ranks\n" in capsys.readouterr().out
    fit = next(made(One(1, 2, group=[False, grown[0]])))  # that the fold is not finished, and its forest
    assert len(grown) == 1 and capsys.readouterr().out == ""
    forest = trainer.run(replace(fit, stop_after=1), Ranks(), NoCheckpointer(), Reporter()).objective
    assert forest.model.forest is grown[0][1]


def test_forests_are_shared_by_ranks_that_grow_none_twice(noisy):
    x, labels, _ = noisy
    sent = distillation.grown(x, labels, CONFIG, 0, 1)
    forests = distillation.Forests(2)
    assert forests.grown(x, labels, CONFIG, 0, One(1, 2, group=[sent])) is sent
    assert forests.grown(x, labels, CONFIG, 0, One(1, 2, group=[])) is sent


def test_a_forest_grows_on_no_more_threads_than_the_process_has_cores(noisy, monkeypatch):
    x, labels, _ = noisy
    seen = []
    monkeypatch.setattr(distillation, "usable_cores", lambda: 3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    monkeypatch.setattr(distillation, "_grown", lambda *given: seen.append(given[-1]) or iter(()))
    distillation.grown(x, labels, EnsembleConfig(trees=50, ensemble_weight=0), 0)
    assert seen == [3]
