"""Scores by number of occurrences: intervals over blocks and seeds, paired between methods."""

import json

import numpy as np
import pytest
from upath import UPath

from sdm_ray.evaluation import few_shot
from sdm_ray.metrics.ranking import auc
from sdm_ray.plots.html import render


@pytest.fixture(scope="module")
def test():
    rng = np.random.default_rng(0)
    p = rng.random((600, 3))
    labels = (rng.random((600, 3)) < p**2).astype(np.uint8)
    return few_shot.TestSet(labels, rng.integers(0, 12, 600), np.array([True, True, False])), p


def test_scores_are_those_of_the_species_that_count(test):
    task, p = test
    found = few_shot.macro_scores(task, p, resamples=20, seed=0)
    assert found.shape == (2, 21)
    assert found[0, 0] == pytest.approx(auc(task.labels, p)[:2].mean())
    assert found[0, 1:].std() > 0


def test_a_better_method_is_better_with_an_interval(test, tmp_path):
    task, p = test
    rng = np.random.default_rng(1)

    def scores(noise):
        return np.stack([[few_shot.macro_scores(task, p + noise * rng.normal(size=p.shape), 50, 0)] for _ in range(3)])

    found = {"good": {"5": scores(0.2), "all": scores(0.05)}, "bad": {"5": scores(1.0), "all": scores(0.5)}}
    figures = few_shot.figures_of(found, seed=0) | {
        "seeds": 3, "resamples": 50, "background": 100, "species_counted": 2, "probability_kind": "occurrence",
        "n_common_species": 1, "transfer": ["good"], "pretraining": {"good": "transductive", "bad": "none"},
    }  # fmt: skip
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    good, bad = (figures["values"]["auc"][method]["5"] for method in ("good", "bad"))
    assert good["low"] < good["value"] < good["high"] and good["value"] > bad["value"]
    difference = figures["differences"]["auc"]["bad"]["5"]
    assert difference["value"] == pytest.approx(good["value"] - bad["value"]) and difference["low"] > 0
    folder = UPath(tmp_path)
    assert [path.name for path in few_shot.write_pictures(folder, figures)] == [
        "few-auc.png",
        "few-average_precision.png",
    ]
    table = few_shot.table(figures)
    assert len(table) == 2 * 2 * 2 and set(table["occurrences"]) == {"5", "all"}
    page = render("T", few_shot.headline(figures), [few_shot.section(folder, figures)])
    assert "good: the embedding is trained on all training surveys of the 1 most common species" in page
    assert "Transductive: good. What they start from had seen places that are tested" in page
    assert "Macro AUC: good minus each other method" in page and page.count("data:image/png") == 2
    line = few_shot.headline(figures)
    assert line.startswith("AUC with 5 and all occurrences: good 0.")
    assert f"({difference['value']:+.3f} [{difference['low']:+.3f}, {difference['high']:+.3f}], " in line


def test_intervals_lie_around_values_though_resamples_lose_a_species(test):
    """One species lies in a single block, where it is easy: without it the mean of the others is lower."""
    task, p = test
    labels = task.labels.copy()
    labels[:, 1] = task.blocks == 3
    easy = few_shot.TestSet(labels, task.blocks, task.counted)
    scores = few_shot.macro_scores(easy, np.column_stack([p[:, 0], labels[:, 1], p[:, 2]]), 200, 0)
    assert np.median(scores[0, 1:]) < scores[0, 0]
    each = few_shot.figures_of({"method": {"5": np.stack([[scores]])}}, 0)["values"]["auc"]["method"]["5"]
    assert each["low"] < each["value"] < each["high"]


def test_seeds_that_differ_widen_the_interval(test):
    task, p = test
    one = few_shot.macro_scores(task, p, 50, 0)
    alike, unlike = np.stack([[one]] * 3), np.stack([[one], [one - 0.1], [one + 0.1]])
    widths = []
    for scores in (alike, unlike):
        each = few_shot.figures_of({"method": {"5": scores}}, 0)["values"]["auc"]["method"]["5"]
        widths.append(each["high"] - each["low"])
    assert widths[1] > 1.5 * widths[0]
