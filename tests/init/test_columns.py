"""Which column is what, by its name in several languages."""

import pytest

from sdm_ray.errors import InputError
from sdm_ray.init.columns import as_patterns, crs_in, find_columns
from sdm_ray.init.stated import Stated


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["lon", "lat", "species"], {"lon": "lon", "lat": "lat", "species": "species"}),
        (
            ["Relevé", "Date du relevé", "Longitude", "Latitude", "Espèce", "Abondance"],
            {"survey": "Relevé", "date": "Date du relevé", "species": "Espèce", "presence": "Abondance"},
        ),
        (["Längengrad", "Breitengrad", "Art", "Jahr"], {"lon": "Längengrad", "species": "Art", "year": "Jahr"}),
        (["PLOT_ID", "X_L93", "Y_L93", "nom_scientifique"], {"lon": "X_L93", "survey": "PLOT_ID"}),
        (["id", "lon_wgs84", "lat_wgs84", "id_species", "taxon"], {"lon": "lon_wgs84", "species": "taxon"}),
        (["x", "y", "lon", "lat", "taxon"], {"lon": "lon", "lat": "lat"}),  # degrees before metres
    ],
)
def test_columns_are_known_by_name(names, expected):
    found = vars(find_columns(names, Stated(), "t.csv"))
    assert {role: found[role] for role in expected} == expected


def test_what_is_stated_counts():
    found = find_columns(["lon", "lat", "a", "species"], Stated(species="a", survey="species"), "t.csv")
    assert (found.species, found.survey) == ("a", "species")
    assert find_columns(["lon", "lat", "a", "b"], Stated(species="a,b"), "t.csv").species == ["a", "b"]
    assert find_columns(["lon", "lat", "a", "b"], Stated(species="a:b"), "t.csv").species == ["a:b"]
    assert find_columns(["lon", "lat", "a,b"], Stated(species="a,b"), "t.csv").species == "a,b"


@pytest.mark.parametrize(
    ("names", "stated", "expected"),
    [
        (["a", "b"], Stated(), r"t.csv: which column is the longitude\? Name it with --lon; found a, b"),
        (["lon", "b"], Stated(), r"which column is the latitude\? Name it with --lat"),
        (["lon", "lat"], Stated(survey="plot"), "has no column plot, which --survey names; found lon, lat"),
    ],
)
def test_what_is_not_known_is_asked_for(names, stated, expected):
    with pytest.raises(InputError, match=expected):
        find_columns(names, stated, "t.csv")


def test_a_projection_in_a_name():
    for name, expected in (("x_epsg25832", "EPSG:25832"), ("X_L93", "EPSG:2154"), ("x", None), ("longitude", None)):
        assert crs_in(find_columns([name, "y"], Stated(lon=name), "t.csv")) == expected


def test_species_columns_in_few_words():
    names = ["plot", "sp_a", "sp_b", "soil", "sp_c"]
    assert as_patterns(["sp_a", "sp_b"], names) == ["sp_a:sp_b"]
    assert as_patterns(["sp_a", "sp_b", "sp_c"], names) == ["sp_*"]
    assert as_patterns(["sp_a", "sp_c"], names) == ["sp_a", "sp_c"]
