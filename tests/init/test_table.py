"""Own tables: how they are written, what the rows mean, and the one line where that cannot be known."""

import numpy as np
import pandas as pd
import pytest

from sdm_ray.errors import InputError
from sdm_ray.init.stated import Stated
from sdm_ray.init.table import read_own_table

LONG = pd.DataFrame({
    "plot": [1, 1, 2, 3, 3, 4],
    "lon": [6.11, 6.11, 6.22, 6.33, 6.33, 6.44],
    "lat": [45.11, 45.11, 45.22, 45.33, 45.33, 45.44],
    "species": ["Abies alba", "Larix decidua", "Abies alba", "Fagus sylvatica", "Abies alba", "Larix decidua"],
})  # fmt: skip


def written(folder, table, **how):
    file = folder / "t.csv"
    table.to_csv(file, index=False, **how)
    return str(file)


@pytest.mark.parametrize("how", [{}, {"sep": ";", "decimal": ","}, {"sep": "\t"}, {"encoding": "utf-8-sig"}])
def test_surveys_do_not_depend_on_how_the_table_is_written(tmp_path, how):
    found = read_own_table(written(tmp_path, LONG, **how), Stated())
    assert found.surveys["lon"].tolist() == [6.11, 6.22, 6.33, 6.44]
    assert [sorted(found.species[each] for each in row) for row in found.surveys["species"]] == [
        ["Abies alba", "Larix decidua"],
        ["Abies alba"],
        ["Abies alba", "Fagus sylvatica"],
        ["Larix decidua"],
    ]
    assert found.kind == "occurrence"


def test_another_encoding_is_guessed_and_shown(tmp_path):
    table = LONG.assign(species=LONG["species"].replace("Abies alba", "Épicéa élevé"))
    found = read_own_table(written(tmp_path, table, encoding="cp1252"), Stated())
    assert "Épicéa élevé" in found.species
    assert found.source.encoding == "cp1252"
    assert "in cp1252, which reads 'Épicéa'" in found.notes[0]


def test_metres_need_a_projection(tmp_path):
    table = LONG.assign(lon=[700_000.5 + 1000 * n for n in range(6)], lat=[6_600_000.0 + 1000 * n for n in range(6)])
    table["plot"] = range(6)
    file = written(tmp_path, table.rename(columns={"lon": "x", "lat": "y"}))
    with pytest.raises(InputError, match=r"x and y are no degrees \(such as 700000.5, 6600000.0\); .*--crs EPSG:25832"):
        read_own_table(file, Stated())
    found = read_own_table(file, Stated(crs="EPSG:2154"))
    assert found.surveys["lon"].iloc[0] == pytest.approx(3.0, abs=0.1)
    named = read_own_table(written(tmp_path, table.rename(columns={"lon": "x_l93", "lat": "y_l93"})), Stated())
    assert named.source.crs == "EPSG:2154"


@pytest.mark.parametrize(
    ("table", "stated", "expected"),
    [
        (LONG, Stated(), "occurrence"),  # plots with several species each are lists
        (LONG.drop(columns="plot"), Stated(), "relative"),
        (LONG.assign(plot=range(6)), Stated(), "relative"),  # an id of each record is no survey
        (LONG.assign(plot=range(6), presence=[1, 0, 1, 1, 0, 1]), Stated(), "occurrence"),
        (LONG, Stated(kind="relative"), "relative"),
    ],
)
def test_kind_of_the_records(tmp_path, table, stated, expected):
    assert read_own_table(written(tmp_path, table), stated).kind == expected


def test_columns_of_zeros_and_ones_are_species(tmp_path):
    rng = np.random.default_rng(0)
    wide = pd.DataFrame({"site": range(8), "lon": 6.1 + np.arange(8) / 10, "lat": 45.5, "height": range(8)})
    for name in ("Abies alba", "Larix decidua", "Pinus cembra"):
        wide[name] = rng.permutation([0, 1, 0, 1, 0, 1, 0, 1])
    found = read_own_table(written(tmp_path, wide), Stated())
    assert found.source.columns.species == ["Abies alba:Pinus cembra"]
    assert sorted(found.species) == ["Abies alba", "Larix decidua", "Pinus cembra"]
    assert [len(each) for each in found.surveys["species"]] == wide.iloc[:, 4:].sum(axis=1).tolist()
    assert found.kind == "occurrence"


def test_a_table_of_one_species(tmp_path):
    one = pd.DataFrame({"lon": 6.1 + np.arange(6) / 10, "lat": 45.5, "presence": [0, 1, 1, 0, 1, 0]})
    found = read_own_table(written(tmp_path, one), Stated())
    assert found.species == ["presence"]
    assert [len(each) for each in found.surveys["species"]] == [0, 1, 1, 0, 1, 0]


def test_a_column_of_ones_or_of_repeated_surveys_is_no_species(tmp_path):
    unnamed = LONG.rename(columns={"species": "b"})
    for column in ([1] * 6, [0, 0, 1, 1, 1, 0]):
        with pytest.raises(InputError, match="no column of species names is known"):
            read_own_table(written(tmp_path, unnamed.assign(inside=column)), Stated())


def test_without_species_one_line_asks_for_them(tmp_path):
    with pytest.raises(InputError, match=r"no column of species names is known, .* --species taxon"):
        read_own_table(written(tmp_path, LONG.rename(columns={"species": "bezeichnung"})), Stated())
    named = read_own_table(written(tmp_path, LONG.rename(columns={"species": "b"})), Stated(species="b"))
    assert len(named.species) == 3


def test_cover_classes_are_presences(tmp_path):
    found = read_own_table(written(tmp_path, LONG.assign(cover=["r", "+", "1", "2", "5", "+"])), Stated())
    assert found.source.columns.presence == "cover"
    assert sum(map(len, found.surveys["species"])) == 6


@pytest.mark.parametrize(
    ("dates", "form", "year"),
    [
        (["2019-05-02"] * 6, None, 2019),
        (["13/07/2019", "02/07/2019"] * 3, "day_first", 2019),
        (["07/13/2019", "07/02/2019"] * 3, "month_first", 2019),
        (["01.02.2019"] * 6, "day_first", 2019),
    ],
)
def test_dates_are_read_by_what_their_numbers_allow(tmp_path, dates, form, year):
    found = read_own_table(written(tmp_path, LONG.assign(date=dates)), Stated())
    assert found.source.date_format == form
    assert (found.surveys["year"] == year).all()


def test_dates_whose_order_nothing_tells_are_left_out(tmp_path):
    found = read_own_table(written(tmp_path, LONG.assign(date="01/02/2019")), Stated())
    assert found.source.columns.date is None


def test_occurrences_of_gbif_are_presence_only(tmp_path):
    table = LONG.rename(columns={"lon": "decimalLongitude", "lat": "decimalLatitude", "species": "scientificName"})
    found = read_own_table(written(tmp_path, table, sep="\t"), Stated())
    assert (found.source.source, found.kind) == ("gbif", "relative")
    assert len(found.species) == 3


def test_swapped_coordinates_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r"rows cannot be used.*swapped"):
        read_own_table(written(tmp_path, LONG.rename(columns={"lon": "lat", "lat": "lon"})), Stated())
