from dataclasses import replace

import numpy as np
from helpers.management import study
from scipy.spatial import cKDTree

from sdm_ray.impact.config import ImpactConfig
from sdm_ray.impact.estimate import Estimator
from sdm_ray.impact.matching import match
from sdm_ray.impact.placebo import ELSEWHERE, FAKE_DATE, FAKE_TREATMENT, NEIGHBOURS, fake_treatments, placebos


def config(**placebos):
    return ImpactConfig(
        units="u.csv",
        treatment={"date": "date"},
        outcome={"columns": {"o": {2000: "a", 2010: "b"}}},
        covariates={"columns": ["warmth"]},
        estimate={"resamples": 200},
        placebos=placebos,
    )


def run(units, **tests):
    how = config(**tests)
    return placebos(units, Estimator(units, match(units, how.matching), how.estimate), how)


def test_nothing_is_found_where_there_is_nothing():
    counts = run(study(800, seed=1), fake_treatments=10, elsewhere=10, elsewhere_m=3000).counts()
    assert set(counts) == {FAKE_DATE, FAKE_TREATMENT, ELSEWHERE}
    assert all(beyond <= 0.3 * made for beyond, made in counts.values())
    assert counts[FAKE_TREATMENT][1] == 10 and counts[FAKE_DATE][1] >= 2


def test_fake_dates_find_what_began_before_the_treatment():
    found = run(study(600, seed=2, lead=-0.6, effect=0), fake_treatments=0, elsewhere=0)
    assert found.counts()[FAKE_DATE][0] >= 2


def test_fake_dates_ignore_what_came_with_the_treatment():
    with_effect, without = (
        run(study(300, seed=3, effect=effect), fake_treatments=0, elsewhere=0).table["effect"] for effect in (-9, 0)
    )
    assert np.allclose(with_effect, without)


def test_treated_units_are_never_drawn():
    units = study(300, seed=4, effect=-50)
    values = [each.value for each in fake_treatments(units, config(), ~units.treated, 5)]
    assert len(values) == 5 and max(map(abs, values)) < 5


def test_an_effect_on_neighbours_is_spillover():
    units = study(900, seed=5)
    places = np.column_stack([units.x, units.y])
    nearest, which = cKDTree(places[units.treated]).query(places)
    near = ~units.treated & (nearest < 4000)
    after = units.years[None] >= units.date[np.flatnonzero(units.treated)[which]][:, None]
    spilled = replace(units, outcome=units.outcome - 1.5 * (near[:, None] & after))
    tests = {"fake_dates": False, "fake_treatments": 0, "elsewhere": 0, "neighbours_m": 4000}
    assert run(units, **tests).counts()[NEIGHBOURS] == (0, 1)
    found = run(spilled, **tests)
    assert found.counts()[NEIGHBOURS] == (1, 1) and abs(found.table["effect"][0] + 1.5) < 0.5
    assert "none within 1 m" in run(units, **{**tests, "neighbours_m": 1}).notes[0]


def test_a_test_that_cannot_be_made_is_told():
    found = run(study(200, years=(2005, 2015)), fake_treatments=0, elsewhere=3, elsewhere_m=1e6)
    assert len(found.notes) == 2 and "only 0 controls" in found.notes[1] and not len(found.table)
