from sdm_ray.sources.occurrences.species_matcher import SpeciesMatcher

SPECIES = ["Abies alba", "Fagus sylvatica", "Ilex aquifolium"]


def test_names_are_matched_however_they_are_written(tmp_path):
    synonyms = tmp_path / "synonyms.csv"
    synonyms.write_text("name,accepted\nAbies pectinata,Abies alba\n")
    matcher = SpeciesMatcher(SPECIES, str(synonyms))
    assert matcher.numbers(["ILEX aquifolium L.", "Abies pectinata", "Fagus orientalis"]).tolist() == [2, 0, -1]
