from sdm_ray.documentation import model_card, odmap


def test_the_card_says_sources_scores_and_where_to_be_careful(facts, scored):
    card = model_card.markdown(scored, odmap.table(scored))
    for expected in (
        "# Trees of two lands",
        "- made up\n",
        "0.830 (0.790 to 0.860)",
        f"no survey at all in Eastland ({facts.unsurveyed['Eastland']} cells): there the model extrapolates",
        "25% of the cells lie in a country without any survey",
        "40% of the cells have no covariates",
        "richness, areas) within Westland, Eastland",
        "effective resolution | 2000.0 m",
        "plain: `plain`",
    ):
        assert expected in card
    assert "not scored on held-out blocks here" in model_card.markdown(facts, odmap.table(facts))


def test_relative_suitabilities_are_for_ranks(facts, monkeypatch):
    monkeypatch.setattr(facts.map, "probability_kind", "relative")
    card = model_card.markdown(facts, odmap.table(facts))
    assert "not for: numbers of species, areas" in card and "richness, areas) within" not in card
