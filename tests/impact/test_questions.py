import numpy as np
import pandas as pd
import pytest
from helpers.management import parcels
from helpers.parcel_files import config_of, write_table

from sdm_ray.errors import InputError
from sdm_ray.impact.covariates import read_covariates
from sdm_ray.impact.outcomes import read_outcomes
from sdm_ray.impact.questions import Material, questions
from sdm_ray.impact.units import read_treatment, read_units

TWO = {"columns": {"plants": {2006: "o2006", 2017: "o2017"}, "birds": {2006: "o2006", 2017: "o2017"}}}


def ask(path, edit=None, **changed):
    units, years, outcome = parcels(60, years=(2006, 2017), seed=1)
    write_table(path, units.assign(kind=["a", "b"] * 30), outcome, years)
    if edit is not None:
        rows = pd.read_csv(path)
        edit(rows)
        path.write_text(rows.to_csv(index=False))
    config = config_of(path, **changed)
    units = read_units(config)
    material = Material(
        units, *read_treatment(units, config), read_outcomes(config, units), read_covariates(config, units)
    )
    return questions(config, material)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "units.csv"


def statuses(question):
    return dict(zip(*np.unique(question.status, return_counts=True), strict=True))


def test_one_question_for_each_outcome_or_as_asked(path):
    assert [each.title for each in ask(path, outcome=TWO)] == ["plants", "birds"]
    asked = {"early": {"outcome": "birds", "dates": [2011, 2011]}, "kind a": {"where": {"kind": ["a"]}}}
    found = ask(path, outcome=TWO, questions=asked)
    assert [each.title for each in found] == ["early", "kind a: plants", "kind a: birds"]
    assert set(found[0].study.date[found[0].study.treated]) == {2011}
    assert statuses(found[0])["treated, not in the question"] > 0
    assert [each.title for each in ask(path, outcome=TWO, placebos={"outcomes": ["birds"]})] == ["plants"]


def test_what_cannot_be_used_is_named_and_counted(path):
    def edit(rows):
        treated, controls = np.flatnonzero(rows["treated"] == 1), np.flatnonzero(rows["treated"] == 0)
        rows.loc[treated[0], "date"], rows.loc[treated[1], "date"] = 2000, 2030
        rows.loc[treated[2], "o2017"] = np.nan
        rows.loc[controls[0], ["o2006", "o2017"]] = np.nan
        rows.loc[controls[1], "warmth"] = np.nan

    found = statuses(ask(path, edit)[0])
    assert found["treated before the first outcome"] == found["treated after the last outcome"] == 1
    assert found["outcome unknown"] == 2 and found["covariate unknown"] == 1


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (
            lambda rows: rows.__setitem__("date", rows["date"] + 50),
            "treated units are dated outside the outcomes' years",
        ),
        (lambda rows: rows.__setitem__("treated", 1) or rows.__setitem__("date", 2012), "has no control unit"),
        (lambda rows: rows.__setitem__("treated", 0), "no unit is treated"),
    ],
)
def test_a_question_without_an_answer_is_one_line(path, edit, line):
    with pytest.raises(InputError) as error:
        ask(path, edit)
    assert line in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_an_outcome_that_is_not_there(path):
    with pytest.raises(InputError, match="asks for moss; found richness"):
        ask(path, questions={"q": {"outcome": "moss"}})
    with pytest.raises(InputError, match=r"placebos.outcomes: no outcome moss"):
        ask(path, placebos={"outcomes": ["moss"]})


def test_days_count_as_their_year_where_outcomes_have_years(path):
    def edit(rows):
        rows["date"] = [f"{date:.0f}-09-01" if np.isfinite(date) else "" for date in rows["date"]]

    assert set(ask(path, edit)[0].study.dates) <= {2011, 2012, 2013}
