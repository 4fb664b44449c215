import numpy as np
import pytest

from sdm_ray.errors import InputError
from sdm_ray.indicators.config import ListConfig, RangesConfig, TraitsConfig
from sdm_ray.indicators.traits import read_list, read_ranges, read_traits
from sdm_ray.sources.occurrences.species_matcher import SpeciesMatcher

SPECIES = ["Abies alba", "Fagus sylvatica", "Ilex aquifolium"]


@pytest.fixture
def matcher():
    return SpeciesMatcher(SPECIES)


def test_unknown_species_are_counted_and_missing_traits_are_nan(tmp_path, matcher, capsys):
    table = tmp_path / "traits.csv"
    table.write_text("species,height\nAbies alba Mill.,40\nAbies alba,44\nFagus sylvatica,\nTaxus baccata,20\n")
    found = read_traits(TraitsConfig(file=str(table), columns=["height"]), matcher)["height"]
    assert found[0] == 42 and np.isnan(found[1:]).all()
    told = capsys.readouterr().out
    assert "1 of 4 names are no species of the map, such as Taxus baccata" in told
    assert "2 of 3 species of the map have no height" in told


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("species,height\nTaxus baccata,20\n", r"names none of the map's 3 species; found Taxus baccata"),
        ("species,height\nAbies alba,tall\n", r"column height, row 1 holds 'tall', expected a number"),
        ("species,height\nAbies alba,\n", r"column height has no value for any species of the map"),
        ("species,width\nAbies alba,1\n", r"has no column height; found species, width"),
    ],
)
def test_traits_that_cannot_be_used_are_one_line(tmp_path, matcher, text, line):
    table = tmp_path / "traits.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=rf"traits\.csv: {line}"):
        read_traits(TraitsConfig(file=str(table), columns=["height"]), matcher)


def test_lists_are_names_or_tables(tmp_path, matcher):
    assert read_list("red", ListConfig(species=["Ilex aquifolium"]), matcher).tolist() == [False, False, True]
    table = tmp_path / "red.csv"
    table.write_text("name;status\nFagus sylvatica L.;LC\n")
    assert read_list("red", ListConfig(file=str(table), column="name"), matcher).tolist() == [False, True, False]
    with pytest.raises(InputError, match="lists: red: names none of the map's 3 species"):
        read_list("red", ListConfig(species=["Yeti"]), matcher)


def test_ranges_are_positive(tmp_path, matcher):
    table = tmp_path / "ranges.csv"
    table.write_text("species,area_km2\nAbies alba,500\nIlex aquifolium,0\n")
    with pytest.raises(InputError, match=r"column area_km2, row 2 holds 0, expected km2"):
        read_ranges(RangesConfig(file=str(table)), matcher)
    table.write_text("species,area_km2\nAbies alba,500\n")
    assert read_ranges(RangesConfig(file=str(table)), matcher)[0] == 500
