"""Figures, tables, pictures and sections of an evaluation from plain arrays."""

import json

import numpy as np
import pytest
from upath import UPath

from sdm_ray.evaluation import pictures, regions, report_sections, summary, tables
from sdm_ray.evaluation.scores import HeldOutSurveys, score
from sdm_ray.geo.blocks import Blocks, block_id
from sdm_ray.geo.grid import to_lonlat
from sdm_ray.plots.html import render

BLOCKS = Blocks(size_m=10_000)


@pytest.fixture(scope="module")
def held():
    numbers = np.random.default_rng(0)
    x, y = numbers.uniform(4e6, 4.1e6, 800), numbers.uniform(3e6, 3.1e6, 800)
    p = numbers.random((800, 3)) ** 3
    p[:, 2] = 0
    labels = (numbers.random((800, 3)) < p).astype(np.uint8)
    country = np.where(x < 4.04e6, "AT", "BE")
    made = HeldOutSurveys(
        labels, ["A a", "B b", "C c"], *to_lonlat(x, y), x, y, block_id(x, y, BLOCKS), country, "occurrence"
    )
    return made, {"map": p, "random forest, both": p + numbers.normal(size=p.shape) * 0.3}


def figures_of(held, predictions):
    comparison, blocks = score(held, predictions, held.block, resamples=50, seed=0, min_positives=10)
    countries = regions.by_country(held, predictions, 10)
    figures = {"probability_kind": held.probability_kind, "min_positives": 10, "resamples": 50, "blocks": blocks}
    return comparison, countries, figures | {"within": {"blocks": regions.within(countries)}}


@pytest.fixture(scope="module")
def figures(held):
    return figures_of(*held)[2]


def test_figures_survive_json(held):
    surveys, predictions = held
    _, _, figures = figures_of(surveys, predictions)
    again = json.loads(json.dumps(figures, allow_nan=False))
    assert again["blocks"]["species_counted"] == 2 and again["blocks"]["species_left_out"] == 1
    pair = again["blocks"]["differences"]["auc"][0]
    assert (pair["first"], pair["second"]) == ("map", "random forest, both") and pair["low"] > 0
    assert summary.flat(again)["blocks/auc/random_forest_both"] < summary.flat(again)["blocks/auc/map"]
    line = summary.headline(again)
    assert line.startswith("AUC on held-out blocks: map 0.") and "random forest, both 0." in line


def test_tables_and_page(held, tmp_path):
    surveys, predictions = held
    comparison, countries, figures = figures_of(surveys, predictions)
    species = tables.species_table(surveys, comparison.species, {"map": np.array([0.5, 0.6, np.nan])})
    assert species["surveys"].tolist() == surveys.labels.sum(axis=0).tolist()
    assert np.isnan(species["auc: map"][2]) and species["spearman with truth: map"][1] == 0.6
    assert countries["country"].tolist() == ["AT", "BE"] and countries["surveys"].sum() == 800
    folder = UPath(tmp_path)
    (folder / "countries.csv").write_text(countries.to_csv(index=False))
    f1 = (surveys.labels.sum(axis=1) > 0).astype(float)
    errors = regions.survey_errors(surveys, predictions["map"]) | {"f1, top_k": f1}
    failures = regions.by_block(surveys, errors, BLOCKS)
    drawn = pictures.write_pictures(folder, surveys, predictions, comparison, failures, BLOCKS.size_m)
    names = [path.name for path in drawn]
    assert names == ["differences.png", "species.png", "reliability.png", "errors.png", "f1.png"]
    page = render("Evaluation", summary.headline(figures), report_sections.sections(folder, figures))
    assert page.count("data:image/png") == 5 and "map minus random forest, both" in page
    assert "Scores by country" in page and "<td>BE</td>" in page


def test_a_transductive_encoder_is_told(figures, tmp_path):

    for pretraining, told in (("transductive", True), ("inductive", False), (None, False)):
        found = report_sections.sections(UPath(tmp_path), figures | {"pretraining": {"map": pretraining}})
        assert any("map: the encoder was pretrained on images" in text for text in found[0].texts) == told


def test_relative_probabilities_have_no_reliability(held, tmp_path):
    surveys, predictions = held
    relative = HeldOutSurveys(**{**surveys.__dict__, "probability_kind": "relative"})
    comparison, _, _ = figures_of(relative, predictions)
    made = pictures.write_pictures(UPath(tmp_path), relative, predictions, comparison, None, BLOCKS.size_m)
    assert [path.name for path in made] == ["differences.png", "species.png"]
