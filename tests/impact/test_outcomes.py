import numpy as np
import pandas as pd
import pytest
from helpers.management import parcels
from helpers.parcel_files import config_of, write_table

from sdm_ray.errors import InputError
from sdm_ray.impact.outcomes import read_outcomes
from sdm_ray.impact.units import read_units


@pytest.fixture
def units(tmp_path):
    made, years, outcome = parcels(4, years=(2006, 2017), seed=1)
    write_table(tmp_path / "units.csv", made, outcome, years)
    return tmp_path / "units.csv"


def read(units, rows, **settings):
    table = units.parent / "outcomes.csv"
    table.write_text(pd.DataFrame(rows).to_csv(index=False))
    outcome = {"table": str(table), "id": "parcel", "values": ["birds"], **settings}
    config = config_of(units, outcome=outcome)
    return read_outcomes(config, read_units(config))


def rows(**more):
    return {"parcel": ["p001", "p000", "p003", "p009"], "year": [2010, 2010, 2012, 2012], "birds": [1, 2, 3, 4], **more}


def test_columns_of_the_units(units):
    config = config_of(units)
    found = read_outcomes(config, read_units(config))
    assert found.years.tolist() == [2006, 2017]
    assert np.allclose(found.values["richness"], parcels(4, years=(2006, 2017), seed=1)[2], atol=1e-3)


def test_rows_of_a_table(units):
    found = read(units, rows())
    assert found.years.tolist() == [2010, 2012]
    nan = np.nan
    assert np.array_equal(found.values["birds"], [[2, nan], [1, nan], [nan, nan], [nan, 3]], equal_nan=True)
    assert found.notes[0].startswith("1 units of ") and found.notes[0].endswith("such as p009")


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"parcel": list("wxyz")}, "none of its units, such as 'w', is in"),
        ({"parcel": ["p001"] * 4}, "unit p001 has two rows for year 2010 (2 such rows)"),
        ({"birds": [1, "many", 3, 4]}, "column birds, row 2 holds 'many', expected a number"),
        ({"year": ["2010", "then", "2012", "2012"]}, "column year, row 2 holds 'then'"),
    ],
)
def test_what_cannot_be_is_one_line(units, changed, line):
    with pytest.raises(InputError) as error:
        read(units, rows(**changed))
    assert line in str(error.value) and "\n" not in str(error.value)


def test_joint_draws(units):
    draws = [rows(draw=[number] * 4, birds=[1 + number, 2, 3, 4]) for number in range(7)]
    every = {name: [value for each in draws for value in each[name]] for name in draws[0]}
    found = read(units, every, draw="draw")
    assert found.values["birds"][1, 0] == 1 and found.draws["birds"][:, 1, 0].tolist() == [2, 3, 4, 5, 6, 7]
    few = {name: values[:12] for name, values in every.items()}
    with pytest.raises(InputError, match="holds 3 draws from 0, expected 0 for the estimate and 5 or more"):
        read(units, few, draw="draw")
    every["birds"][-2] = np.nan
    with pytest.raises(InputError, match="column birds: 1 values are missing in joint draws"):
        read(units, every, draw="draw")
