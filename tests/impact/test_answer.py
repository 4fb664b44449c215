"""What a reader is told with an answer."""

import numpy as np
import pytest
from helpers.management import study
from helpers.parcel_files import config_of

from sdm_ray.errors import InputError
from sdm_ray.impact.answer import answer
from sdm_ray.impact.covariates import Design
from sdm_ray.impact.outcomes import Outcomes
from sdm_ray.impact.page import page, pairs_table, summary, units_table
from sdm_ray.impact.questions import Material, Question
from sdm_ray.impact.units import Units

QUIET = {"fake_treatments": 0, "elsewhere": 0}


def ask(units, *, from_maps=False, notes=(), **changed):
    count = len(units.ids)
    config = config_of("units.csv", **{"placebos": QUIET, **changed})
    outcomes = Outcomes(units.years, {"birds": units.outcome}, from_maps=from_maps, notes=list(notes))
    about = Units(None, units.ids, units.x, units.y, None, np.zeros(count, bool), [])
    material = Material(about, units.treated, units.date, outcomes, Design(units.names, units.covariates, units.exact))
    status = np.where(units.treated, "treated", "control").astype("<U40")
    return answer(Question("birds", "birds", units, np.arange(count), status), material, config), material


def told(found):
    return " ".join(found.caveats)


def test_a_sound_study_has_few_caveats():
    found, _ = ask(study(600, seed=1), matching={"min_distance_m": 1000, "caliper": 0.1})
    assert found.effect.beyond and found.effect.low < -2 < found.effect.high
    assert "do not trust" not in told(found) and "moved apart" not in told(found) and "blocks only" not in told(found)


def test_trends_before_the_treatment_and_fake_dates_are_told():
    found, _ = ask(study(600, seed=2, lead=-0.6), placebos={"fake_dates": True, **QUIET})
    assert "had already moved apart before the treatment" in told(found)
    assert "Placebo test, fake date" in told(found) and "do not trust the estimate" in told(found)


def test_what_matching_leaves_is_told():
    tight = {"max_distance_m": 6000, "caliper": None}
    found, _ = ask(study(150, seed=3), matching=tight, estimate={"adjust": False, "resamples": 200})
    assert len(found.matches.unmatched) and "have no control (none within the calipers" in told(found)
    assert "still differ by 0.1 or more, and is not adjusted for" in told(found)


def test_few_blocks_are_told():
    found, _ = ask(study(300, seed=4), estimate={"block_m": 100_000, "resamples": 200})
    assert "blocks only" in told(found)


def test_maps_and_their_notes_are_told():
    found, _ = ask(study(200, seed=5), from_maps=True, notes=["the maps come from different models"])
    assert "The outcome was predicted by a model" in told(found)
    assert "The maps come from different models." in found.caveats


def test_without_a_control_in_reach_the_question_is_named():
    with pytest.raises(InputError, match="question 'birds': matching: none of"):
        ask(study(100, seed=6), matching={"max_distance_m": 0.001})


def test_the_tables_agree_with_the_figures():
    found, material = ask(study(300, seed=7))
    units, pairs = units_table(found, material), pairs_table(found)
    assert units["weight"][units["status"] == "control"].sum() == pytest.approx(found.effect.sets)
    difference = pairs["weight"] * (pairs["change_treated"] - pairs["change_control"])
    assert difference.sum() / found.effect.sets == pytest.approx(found.plain.value)
    assert f"{found.effect.sets} of {int(material.treated.sum())} treated units" in summary(found, 0.95)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_very_few_treated_units_have_an_answer_that_says_so(count):
    units = study(60, seed=8)
    keep = ~units.treated
    keep[np.flatnonzero(units.treated)[:count]] = True
    found, material = ask(units.only(keep), placebos={"fake_treatments": 2, "elsewhere": 2}, matching={"caliper": None})
    assert found.effect.sets == count and "blocks only" in told(found)
    assert not found.effect.beyond or count > 1
    assert "Effect on birds" in page(found, material, 0.95)
    assert ("as its treated units lie in one block" in summary(found, 0.95)) == (count == 1)
