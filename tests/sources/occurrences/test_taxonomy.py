"""Species names of several sources."""

import pandas as pd
import pytest

from sdm_ray.errors import InputError
from sdm_ray.sources.occurrences.taxonomy import SpeciesList, group_spellings, match, read_synonyms


def species(source: str, names: list[str], keys: list[int | None] | None = None, dataset: str = "") -> SpeciesList:
    table = pd.DataFrame({"species_id": range(len(names)), "name": names})
    table["gbif_key"] = pd.array(keys or [None] * len(names), "Int64")
    return SpeciesList(source, table, dataset or source)


def test_a_single_source_stays_as_it_is():
    only = species("a.csv", ["b", "A", "12"])
    found = match([only])
    assert found.species is only.table
    assert found.numbers[0].tolist() == [0, 1, 2]


def test_keys_come_before_names():
    first = species("a.csv", ["Linum narbonense L.", "Quercus ilex", "Taxus baccata"], [1, 2, None])
    second = species(
        "b.csv", ["Quercus ilex L.", "Linum sp. nov.", "Taxus baccata L.", "Abies alba"], [None, 1, 7, None]
    )
    found = match([first, second])
    assert found.species["name"].tolist() == ["Abies alba", "Linum narbonense L.", "Quercus ilex", "Taxus baccata"]
    assert found.species["gbif_key"].tolist() == [pd.NA, 1, 2, 7]
    assert [each.tolist() for each in found.numbers] == [[1, 2, 3], [2, 1, 3, 0]]
    assert found.report == {
        "merged": {
            "Linum narbonense L.": ["Linum sp. nov."],
            "Quercus ilex": ["Quercus ilex L."],
            "Taxus baccata": ["Taxus baccata L."],
        },
        "in_one_source_only": {"a.csv": [], "b.csv": ["Abies alba"]},
        "keys_of_several_names": {"1": ["linum narbonense", "linum sp. nov."]},
        "names_of_several_keys": {},
    }


def test_one_name_of_two_keys_is_two_species_and_is_said():
    found = match(
        [species("a.csv", ["Prunus alba"], [1]), species("b.csv", ["Prunus alba", "Prunus alba L."], [2, None])]
    )
    assert found.species["name"].tolist() == ["Prunus alba [GBIF 1]", "Prunus alba [GBIF 2]"]
    assert [each.tolist() for each in found.numbers] == [[0], [1, 0]]
    assert found.report["names_of_several_keys"] == {"prunus alba": [1, 2]}


def test_spellings_of_one_species_are_listed():
    rows = pd.DataFrame({"name": ["Abies alba", "Taxus baccata", "ABIES ALBA Mill.", "Abies\u00a0 alba", "Rosa sp."]})
    taxa, taxon = group_spellings(rows.assign(gbif_key=pd.NA))
    assert taxa.index.tolist() == ["Abies alba", "Taxus baccata", "Rosa sp."]
    assert taxon.tolist() == [0, 1, 0, 0, 2]
    assert taxa["others"].tolist() == [["ABIES ALBA Mill.", "Abies\u00a0 alba"], [], []]


def test_numbers_meet_only_within_their_data_set():
    lists = [
        species("pa.csv", ["12", "7"], dataset="glc24"),
        species("po.csv", ["7"], dataset="glc24"),
        species("other.csv", ["7"], dataset="glc23"),
    ]
    found = match(lists)
    assert found.species["name"].tolist() == ["glc23 7", "glc24 12", "glc24 7"]
    assert [each.tolist() for each in found.numbers] == [[1, 2], [2], [0]]
    assert match(lists[:2]).species["name"].tolist() == ["12", "7"]


def synonyms(folder, **columns) -> pd.DataFrame:
    pd.DataFrame(columns).to_csv(folder / "synonyms.csv", index=False)
    return read_synonyms(str(folder / "synonyms.csv"))


def test_synonyms_give_names_and_keys(tmp_path):
    table = synonyms(
        tmp_path, name=["Picea excelsa Link", "Pinus picea"], accepted=["Pinus picea", "Picea abies (L.) H.Karst."],
        gbif_key=[None, 5284884],
    )  # fmt: skip
    found = match([species("a.csv", ["Picea excelsa"]), species("b.csv", ["Picea abies", "Pinus mugo"])], table)
    assert found.species["name"].tolist() == ["Picea abies (L.) H.Karst.", "Pinus mugo"]
    assert found.species["gbif_key"].tolist() == [5284884, pd.NA]
    assert [each.tolist() for each in found.numbers] == [[0], [0, 1]]
    alone = match([species("a.csv", ["Abies alba", "Picea excelsa", "Picea abies"])], table)
    assert alone.numbers[0].tolist() == [0, 1, 1]


def test_synonyms_that_cannot_be_followed_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"synonyms\.csv: aa bb has two accepted names"):
        synonyms(tmp_path, name=["Aa bb", "Aa bb L."], accepted=["Cc dd", "Ee ff"])
    with pytest.raises(InputError, match=r"the synonyms of aa bb go round in a circle"):
        synonyms(tmp_path, name=["Aa bb", "Cc dd"], accepted=["Cc dd", "Aa bb"])
    with pytest.raises(InputError, match=r"has no column accepted"):
        synonyms(tmp_path, name=["A b"], other=["C d"])
