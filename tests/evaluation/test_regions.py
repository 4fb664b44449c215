"""Scores by country and by block, against the same scores taken by hand."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from sdm_ray.evaluation import regions
from sdm_ray.evaluation.scores import HeldOutSurveys
from sdm_ray.geo.blocks import Blocks, block_id

BLOCKS = Blocks(size_m=10_000)


@pytest.fixture(scope="module")
def held() -> tuple[HeldOutSurveys, np.ndarray]:
    """Two countries of many surveys and one of five; a species that is nowhere."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(4e6, 4.1e6, 805), rng.uniform(3e6, 3.1e6, 805)
    p = rng.random((805, 3)) ** 2
    labels = (rng.random((805, 3)) < p).astype(np.uint8)
    labels[:, 2] = 0
    country = np.array(["AT"] * 400 + ["BE"] * 400 + ["LU"] * 5)
    return HeldOutSurveys(labels, ["A", "B", "C"], x, y, x, y, block_id(x, y, BLOCKS), country, "occurrence"), p


def test_every_score_of_a_country_is_of_its_own_surveys(held):
    surveys, p = held
    f1 = np.linspace(0, 1, 805)
    found = regions.by_country(surveys, {"map": p}, 10, {"map": np.full_like(p, 0.4)}, {"f1": {"map": f1}})
    at = found.set_index("country").loc["AT"]
    assert (at["surveys"], at["species"]) == (400, 2)
    truth, predicted = surveys.labels[:400, :2], p[:400, :2]
    for name, by_hand in (("auc", roc_auc_score), ("average_precision", average_precision_score)):
        assert at[f"{name}: map"] == pytest.approx(by_hand(truth, predicted))
    assert at["brier: map"] == pytest.approx(np.mean([brier_score_loss(truth[:, s], predicted[:, s]) for s in (0, 1)]))
    above = predicted >= 0.4
    hits = [above[truth[:, s] == 1, s].mean() - above[truth[:, s] == 0, s].mean() for s in (0, 1)]
    assert at["tss: map"] == pytest.approx(np.mean(hits))
    assert at["f1: map"] == pytest.approx(f1[:400].mean())


def test_a_country_with_too_few_surveys_is_counted_and_blank(held):
    surveys, p = held
    found = regions.by_country(surveys, {"map": p}, 10, {"map": np.full_like(p, 0.4)}, {"f1": {"map": p[:, 0]}})
    few = found.set_index("country").loc["LU"]
    assert few["surveys"] == 5 and few["species"] == 0
    assert few.drop(["surveys", "species"]).isna().all()
    assert regions.within(found)["map"] == pytest.approx(found["auc: map"][:2].mean())


def test_relative_suitabilities_have_ranks_alone(held):
    surveys, p = held
    found = regions.by_country(replace(surveys, probability_kind="relative"), {"map": p}, 10)
    assert list(found)[3:] == ["auc: map", "average_precision: map"]
    assert regions.by_country(replace(surveys, country=None), {"map": p}, 10).empty


def test_telling_countries_apart_is_worth_nothing(held):
    surveys, _ = held
    rng = np.random.default_rng(0)
    first = surveys.country == "AT"
    labels = (rng.random((805, 3)) < np.where(first, 0.8, 0.2)[:, None]).astype(np.uint8)
    p = np.repeat(first[:, None], 3, axis=1) * 0.5 + rng.random((805, 3)) / 2
    assert roc_auc_score(labels, p) > 0.75
    found = regions.within(regions.by_country(replace(surveys, labels=labels), {"map": p}, 10))
    assert found["map"] == pytest.approx(0.5, abs=0.05)


def test_blocks_have_the_means_of_their_surveys(held):
    surveys, p = held
    errors = regions.survey_errors(surveys, p)
    found = regions.by_block(surveys, errors, BLOCKS)
    assert found["surveys"].sum() == 805 and (found["west_m"] % 10_000 == 0).all()
    one = found.iloc[3]
    here = (surveys.x // 10_000 * 10_000 == one["west_m"]) & (surveys.y // 10_000 * 10_000 == one["south_m"])
    assert here.sum() == one["surveys"]
    assert one["richness_error"] == pytest.approx((p - surveys.labels)[here].sum(axis=1).mean())
    assert one["brier"] == pytest.approx(((p - surveys.labels)[here] ** 2).mean())
