import numpy as np
import pandas as pd
import pytest
from helpers.management import CENTRE, parcels
from helpers.parcel_files import config_of, write_shapes, write_squares, write_table
from shapely import Polygon

from sdm_ray.errors import InputError
from sdm_ray.impact.units import read_treatment, read_units

CORNERS = [(CENTRE[0] + 2000 * i, CENTRE[1]) for i in range(3)]
ATTRIBUTES = {
    "parcel": ["a", "b", "c"],
    "treated": [1, 0, 0],
    "date": [2012.0, np.nan, np.nan],
    "warmth": [1.0, 2.0, 3.0],
    "slope": [0.0, 0.0, 0.0],
    "o2006": [1.0, 2.0, 3.0],
    "o2017": [1.0, 2.0, 3.0],
}


@pytest.fixture
def table(tmp_path):
    def write(**columns):
        units, years, outcome = parcels(6, years=(2006, 2017), seed=1)
        units = units.assign(treated=[1, 1, 0, 0, 0, 0], date=[2011, 2012, *[np.nan] * 4], **columns)
        write_table(tmp_path / "units.csv", units, outcome, years)
        return tmp_path / "units.csv"

    return write


def test_points_lie_where_they_are(table):
    units, made = read_units(config_of(table())), parcels(6, years=(2006, 2017), seed=1)[0]
    assert np.allclose(units.x, made["x"], atol=1) and np.allclose(units.y, made["y"], atol=1)
    assert units.shapes is None and units.ids[0] == "p000"


def test_units_are_left_out_by_their_values_and_counted(table):
    path = table(group=["1", "1.0", "2", "x", "1", "1"])
    units = read_units(config_of(path, where={"group": [1, "x"]}))
    assert units.ids.tolist() == ["p000", "p001", "p003", "p004", "p005"]
    assert units.notes == ["1 of 6 units left out by where"]
    long = table(code=[12345678, 12345679, 1, 1, 1, 1])
    assert read_units(config_of(long, where={"code": [12345679]})).ids.tolist() == ["p001"]
    with pytest.raises(InputError, match="where leaves none of 6 units"):
        read_units(config_of(long, where={"code": [7]}))


def test_several_columns_name_a_unit(table):
    units = read_units(config_of(table(region=list("aabbcc")), id=["region", "parcel"]))
    assert units.ids[1] == "a/p001"
    assert read_units(config_of(table(), id=None)).ids.tolist() == list("123456")


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        ({"parcel": list("aabbcd")}, "2 ids stand in several rows, such as a, b; expected one row for each unit"),
        ({"parcel": ["a", "", "b", "c", "d", "e"]}, "row 2 has no parcel"),
        ({"treated": [1, 0, 2, 0, 0, 0]}, "column treated holds '2' for unit p002, expected 1 for treated and 0 for"),
        ({"date": [2011, *[np.nan] * 5]}, "treated unit p001 has no date (1 such units)"),
        ({"date": ["2011", "2012-13-45", *[""] * 4]}, "column date holds '2012-13-45', which is no date"),
        ({"date": ["2011", "soon", *[""] * 4]}, "column date, row 2 holds 'soon', expected a number"),
        ({"date": [""] * 6}, "treated unit p000 has no date (2 such units)"),
        ({"treated": [""] * 6}, "for unit p000, expected 1 for treated and 0 for control"),
    ],
)
def test_what_cannot_be_is_one_line(table, columns, line):
    path = table()
    rows = pd.read_csv(path, dtype=str).assign(**columns)
    path.write_text(rows.to_csv(index=False))
    config = config_of(path)
    with pytest.raises(InputError) as error:
        read_treatment(read_units(config), config)
    assert line in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_dates_are_years_or_days(table):
    path = table()
    rows = pd.read_csv(path, dtype=str).assign(date=["2011-07-02", "2012", "2013", "", "", ""])
    path.write_text(rows.to_csv(index=False))
    config = config_of(path)
    units = read_units(config)
    treated, date = read_treatment(units, config)
    assert treated.tolist() == [True, True, False, False, False, False]
    assert date[:2] == pytest.approx([2011.4983, 2012], abs=1e-3) and np.isnan(date[2:]).all()
    assert units.notes == ["1 controls have a date, which is not used"]


def test_one_year_for_all_or_dates_alone(table):
    path = table()
    config = config_of(path, treatment={"column": "treated", "year": 2010})
    assert read_treatment(read_units(config), config)[1][0] == 2010
    config = config_of(path, treatment={"date": "date"})
    assert read_treatment(read_units(config), config)[0].sum() == 2
    with pytest.raises(ValueError, match="expected one of date"):
        config_of(path, treatment={"column": "treated"})


def test_parcels_in_another_projection_overlapping_and_invalid(tmp_path):
    path = tmp_path / "parcels.gpkg"
    bow = Polygon([(9.9, 52), (9.91, 52.01), (9.91, 52), (9.9, 52.01)])  # crosses itself
    one = Polygon([(10, 52), (10.02, 52), (10.02, 52.02), (10, 52.02)])
    other = Polygon([(10.01, 52), (10.03, 52), (10.03, 52.02), (10.01, 52.02)])
    write_shapes(path, [bow, one, other], ATTRIBUTES, crs="EPSG:4326")
    units = read_units(config_of(path))
    assert units.overlaps.tolist() == [False, True, True]
    assert units.notes[0].startswith("1 parcels had invalid outlines") and units.notes[1].startswith(
        "2 parcels overlap"
    )
    assert np.abs(units.x - CENTRE[0]).max() < 10_000 and np.abs(units.y - CENTRE[1]).max() < 5_000


def test_parcels_that_only_touch_do_not_overlap(tmp_path):
    write_squares(tmp_path / "p.geojson", CORNERS, 2000, ATTRIBUTES)
    units = read_units(config_of(tmp_path / "p.geojson"))
    assert not units.overlaps.any() and units.shapes is not None and not units.notes
    assert np.allclose(units.x, [x + 1000 for x, _ in CORNERS], atol=600)


def test_a_file_that_is_not_there_or_lacks_a_column(table, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_units(config_of(tmp_path / "none.gpkg"))
    with pytest.raises(InputError, match="no column moss"):
        read_units(config_of(table(), covariates={"columns": ["moss"]}))
    write_squares(tmp_path / "p.gpkg", CORNERS, 2000, {name: ATTRIBUTES[name] for name in ("parcel", "treated")})
    with pytest.raises(InputError, match="has no date; found parcel, treated"):
        read_units(config_of(tmp_path / "p.gpkg"))
