"""The ODMAP table has the protocol's 84 elements, most of them filled from the run, none of them with a guess."""

import pytest

from sdm_ray.documentation import odmap

ALWAYS_THE_AUTHORS = {
    "o_authorship_1",
    "o_authorship_2",
    "o_authorship_3",
    "o_concept_1",
    "d_bio_5",
    "a_plausibility_2",
}


def test_the_protocol_has_84_elements():
    rows = odmap.elements()
    assert len(rows) == 84 and rows["id"].is_unique
    assert rows["section"].value_counts().to_dict() == {
        "Data": 33, "Overview": 24, "Model": 15, "Prediction": 7, "Assessment": 5,
    }  # fmt: skip


def test_at_least_70_are_filled_from_the_run(facts, scored):
    rows = odmap.table(facts).set_index("id")
    filled = rows["filled_by"] == odmap.RUN
    assert filled.sum() >= 70
    assert set(rows.index[~filled]) >= ALWAYS_THE_AUTHORS
    assert (rows["Value"][~filled] == "").all() and (rows["filled_by"][~filled] == odmap.OPEN).all()
    assert (odmap.table(scored)["filled_by"] == odmap.RUN).sum() >= filled.sum() + 2


def test_every_answer_belongs_to_an_element(facts):
    known = set(odmap.elements()["id"])
    for section in (odmap.odmap_overview, odmap.odmap_data, odmap.odmap_model):
        assert set(section.answers(facts)) <= known


def test_answers_say_what_the_run_used(scored):
    values = odmap.table(scored).set_index("id")["Value"]
    assert values["d_pred_1"] == "lime; rain" and values["d_pred_4"].startswith("2000 m")
    assert "blocks of 40000 m in 3 folds" in values["d_part_3"]
    assert "200 surveys" in values["d_bio_6"] and "Taxus baccata" in values["d_bio_1"]
    assert "0.830 (0.790 to 0.860)" in values["a_perform_3"] and "last epoch: 0.3100" in values["a_perform_1"]
    assert values["m_estim_3"].endswith("rain 0.830 (0.790 to 0.860)")
    assert values["p_uncertainty_5"] == "shown by the layers environmental_similarity, not masked"


@pytest.mark.parametrize("name", ["o_concept_1", "o_scale_5"])
def test_the_author_comes_before_the_run(facts, name):
    row = odmap.table(facts, {name: "said by the author"}).set_index("id").loc[name]
    assert row["Value"] == "said by the author" and row["filled_by"] == odmap.AUTHOR
